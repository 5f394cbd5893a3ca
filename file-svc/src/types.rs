//! Types of files that are not taken.

use crate::errors::FileError;

/// Types that are refused: `application/x-msdownload`, or `video/*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Vec<String>);

impl Refused {
    /// From the configuration.
    pub(crate) fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| pattern.trim().to_lowercase()).collect())
    }

    pub(crate) fn patterns(&self) -> Vec<String> {
        self.0.clone()
    }

    /// Whether a type is taken. One that is not known is: what the bytes are is looked at later.
    pub(crate) fn check(&self, content_type: &str) -> Result<(), FileError> {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => content_type.starts_with(start),
            None => pattern == content_type,
        };
        if !content_type.is_empty() && self.0.iter().any(fits) {
            return Err(FileError::TypeRefused(content_type.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_refused_by_name_or_by_family() {
        let refused = Refused::new(&["Application/x-msdownload".into(), "video/*".into()]);
        for (kind, taken) in
            [("application/x-msdownload", false), ("video/mp4", false), ("image/png", true), ("", true)]
        {
            assert_eq!(refused.check(kind).is_ok(), taken, "{kind}");
        }
    }
}
