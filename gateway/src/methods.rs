//! What the edge has to know of a method, from the tables of the services behind it.

use std::collections::HashMap;

use mesh::rpc::Method;

use crate::limits::Class;

/// Of one method. Of an unknown one, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// What it is counted as besides a call.
    pub(crate) class: Option<Class>,
    /// It is told from where it is called.
    pub(crate) asks_origin: bool,
}

/// By path.
pub(crate) struct Methods(HashMap<&'static str, Known>);

impl Methods {
    /// Of the methods that are reached through the edge.
    ///
    /// # Errors
    /// When a table names a class that has no limit.
    pub(crate) fn new(methods: &[Method]) -> Result<Self, String> {
        let known = |method: &Method| {
            let class = match method.class {
                Some(name) => {
                    Some(Class::named(name).ok_or_else(|| format!("{}: {name:?} has no limit", method.path))?)
                }
                None => None,
            };
            Ok((method.path, Known { class, asks_origin: method.asks_origin }))
        };
        // The others are called as any.
        let special = methods.iter().filter(|method| method.class.is_some() || method.asks_origin);
        special.map(known).collect::<Result<_, String>>().map(Self)
    }

    /// What is to be known of a method.
    pub(crate) fn of(&self, path: &str) -> Known {
        self.0.get(path).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_without_a_limit_is_refused() {
        let methods = [Method::user("/a").class("sends"), Method::user("/b").asks_origin(), Method::user("/c")];
        let known = Methods::new(&methods).unwrap();
        assert_eq!(known.of("/a"), Known { class: Class::named("sends"), asks_origin: false });
        assert_eq!(known.of("/b"), Known { class: None, asks_origin: true });
        assert_eq!((known.of("/c"), known.of("/d")), (Known::default(), Known::default()));
        assert!(Methods::new(&[Method::user("/e").class("anything")]).is_err_and(|text| text.contains("/e")));
    }
}
