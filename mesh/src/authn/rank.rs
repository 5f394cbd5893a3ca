//! How much an account may do in general, before any service looks at what a call is about.

use tonic::{Code, Status};

use super::UserPrincipal;
use crate::errors;

/// A standing in the whole installation, rising. Unknown words count as the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Only what it was brought into.
    #[default]
    Guest,
    /// What everybody may.
    Member,
    /// Manages it.
    Admin,
    /// Everything.
    Owner,
}

impl Rank {
    /// By its name in tokens.
    pub fn named(name: &str) -> Self {
        match name {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "member" => Self::Member,
            _ => Self::Guest,
        }
    }

    /// Its name in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Refuses an account that stands lower.
    ///
    /// # Errors
    /// PERMISSION_DENIED `ROLE_TOO_LOW`.
    pub fn check(self, user: &UserPrincipal) -> Result<(), Status> {
        if user.rank() >= self {
            return Ok(());
        }
        let text = format!("This needs the role {} in the workspace, or a higher one.", self.name());
        Err(errors::plain(Code::PermissionDenied, "ROLE_TOO_LOW", text))
    }
}

impl UserPrincipal {
    /// The standing.
    pub fn rank(&self) -> Rank {
        Rank::named(&self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_rise_and_unknown_ones_count_as_guests() {
        let rising = ["guest", "member", "admin", "owner"].map(Rank::named);
        assert!(rising.is_sorted());
        assert_eq!(rising.map(Rank::name), ["guest", "member", "admin", "owner"]);
        assert_eq!(Rank::named("Owner"), Rank::Guest);
    }
}
