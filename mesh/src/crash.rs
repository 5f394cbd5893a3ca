//! Named crash points: moments at which a test ends the process as a power cut would, again and again at the same place.
//!
//! `LOQUAT_CRASH_AT=chat.committed:5` arms the point of that name: the fifth time that it is passed, the process ends at once,
//! with nothing unwound or flushed. `chat.answered:5:50` stands still there for 50 ms before, while other tasks go on. A release
//! build has no crash points, and refuses the variable like every unknown key.

/// Ends the process if the point of this name is armed and this is the time. Names tell the last thing that was done.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    if let Some(armed) = armed()
        && armed.is_due(name)
    {
        if !armed.linger.is_zero() {
            // What this thread has woken runs on another one.
            tokio::task::block_in_place(|| std::thread::sleep(armed.linger));
        }
        std::process::abort();
    }
}

/// Nothing: a release build has no crash points.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn point(_: &str) {}

/// Whether the point of this name is armed, for code that passes it only when somebody waits there.
#[cfg(debug_assertions)]
pub fn is_armed(name: &str) -> bool {
    armed().is_some_and(|armed| armed.name == name)
}

/// Never: a release build has no crash points.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_armed(_: &str) -> bool {
    false
}

#[cfg(debug_assertions)]
fn armed() -> Option<&'static Armed> {
    use std::sync::LazyLock;
    static ARMED: LazyLock<Option<Armed>> =
        LazyLock::new(|| crate::config::crash_at().as_deref().and_then(Armed::parse));
    ARMED.as_ref()
}

/// A point that is armed.
#[cfg(debug_assertions)]
#[derive(Debug)]
pub(crate) struct Armed {
    name: String,
    /// How often it will be passed unharmed, and once more.
    left: std::sync::atomic::AtomicU64,
    linger: std::time::Duration,
}

#[cfg(debug_assertions)]
impl Armed {
    /// Reads `name`, `name:times` or `name:times:milliseconds`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
        let times: u64 = parts.next().map_or(Ok(1), str::parse).ok().filter(|times| *times > 0)?;
        let linger = parts.next().map_or(Ok(0), str::parse).ok()?;
        let linger = std::time::Duration::from_millis(linger);
        parts.next().is_none().then_some(Self { name, left: times.into(), linger })
    }

    fn is_due(&self, name: &str) -> bool {
        use std::sync::atomic::Ordering;
        // Once it has reached 0 the process has ended, so that it never goes below.
        name == self.name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_due_when_it_is_passed_for_the_nth_time() {
        let armed = Armed::parse("a.point:3").unwrap();
        let due: Vec<bool> =
            ["a.point", "another", "a.point", "a.point"].iter().map(|name| armed.is_due(name)).collect();
        assert_eq!(due, [false, false, false, true]);
        assert!(Armed::parse("a.point").unwrap().is_due("a.point"));
        assert_eq!(Armed::parse("a.point:1:50").unwrap().linger.as_millis(), 50);
    }

    #[test]
    fn nonsense_arms_nothing() {
        for text in ["", ":3", "a.point:0", "a.point:x", "a.point:1:x", "a.point:1:2:3"] {
            assert!(Armed::parse(text).is_none(), "{text}");
        }
    }
}
