//! Mail to people who are mentioned while they are away: who may be sent one, and the mail itself.
//!
//! What was said is not in it: mail is kept by others, and what is deleted here would stay there.

use std::collections::HashMap;

use mesh::{fields::Fields, inbox};
use proto::auth::internal::v1::{MentionedIn, SendMentionMailRequest};
use time::Duration;
use uuid::Uuid;

use crate::{errors::AuthError, mail::MailError, rpc::Shared, store::account};

/// The name under which mails are remembered that were sent.
const MAILS: &str = "MentionMail";
/// For how long: longer than anybody asks for one again.
const REMEMBERED: Duration = Duration::days(30);
/// The most mentions that one mail tells of.
const MOST: usize = 100;
/// So many lines are written out.
const MOST_LINES: usize = 20;

/// Those of these usernames whose people may be sent mail when they are mentioned.
pub(crate) async fn recipients(shared: &Shared, usernames: &[String]) -> Result<Vec<Uuid>, AuthError> {
    let mut fields = Fields::default();
    if usernames.len() > MOST {
        fields.wrong("usernames", format!("must have at most {MOST} entries"));
    }
    fields.done()?;
    if !shared.mail.is_configured() || usernames.is_empty() {
        return Ok(Vec::new());
    }
    let found = account::by_usernames(shared.db.reader(), usernames).await?;
    Ok(found.iter().filter(|account| wants_mail(account)).map(|account| account.id).collect())
}

fn wants_mail(account: &account::Model) -> bool {
    account.mention_mail && !account.email.is_empty() && !account.disabled && !account.bot
}

/// Sends one mail, once. False when it is not sent, or was sent before.
pub(crate) async fn send(shared: &Shared, request: SendMentionMailRequest) -> Result<bool, AuthError> {
    let mut fields = Fields::default();
    let mail_id = fields.id("mail_id", &request.mail_id);
    let user_id = fields.id("user_id", &request.user_id);
    if request.mentions.is_empty() || request.mentions.len() > MOST {
        fields.wrong("mentions", format!("must have 1 to {MOST} entries"));
    }
    let authors: Vec<String> = request.mentions.iter().map(|mention| mention.author_id.clone()).collect();
    let authors = fields.ids("mentions.author_id", &authors, MOST);
    fields.done()?;
    let account = account::find(shared.db.reader(), user_id).await?;
    let Some(account) = account.filter(|account| shared.mail.is_configured() && wants_mail(account)) else {
        return Ok(false);
    };
    let authors = account::some(shared.db.reader(), &authors).await?;
    let names = authors.into_iter().map(|author| (author.id.to_string(), author.display_name)).collect();
    let (subject, text) = write(&account.username, &request.mentions, &names, |path| shared.link(path));
    if !claim(shared, mail_id).await? {
        return Ok(false);
    }
    match shared.mail.deliver(mail_id, &account.email, &subject, text).await {
        Ok(()) => Ok(true),
        Err(MailError::ForGood(cause)) => {
            tracing::error!(cause, "a mail about mentions cannot be sent");
            metrics::counter!("loquat_auth_mails_failed_total").increment(1);
            Ok(false)
        }
        Err(cause @ MailError::ForNow(_)) => {
            give_back(shared, mail_id).await?;
            Err(AuthError::MailUnavailable(cause.into()))
        }
    }
}

/// Before it is sent: a mail too few after a crash at that moment is better than the same one twice.
async fn claim(shared: &Shared, mail_id: Uuid) -> Result<bool, AuthError> {
    let now = shared.clock.now();
    inbox::forget(&shared.db, now - REMEMBERED).await?;
    let tx = shared.db.begin().await?;
    let new = inbox::claim(&tx, MAILS, mail_id, now).await?;
    tx.commit().await?;
    Ok(new)
}

async fn give_back(shared: &Shared, mail_id: Uuid) -> Result<(), AuthError> {
    let tx = shared.db.begin().await?;
    inbox::give_back(&tx, MAILS, mail_id).await?;
    Ok(tx.commit().await?)
}

/// The subject and the text of a mail.
fn write(
    username: &str,
    mentions: &[MentionedIn],
    names: &HashMap<String, String>,
    link: impl Fn(&str) -> String,
) -> (String, String) {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = |mention: &MentionedIn| names.get(&mention.author_id).map_or("Somebody".into(), |name| one_line(name));
    let subject = match mentions {
        [one] => format!("{} mentioned you in {}", name(one), one_line(&one.room_name)),
        more => format!("You were mentioned {} times", more.len()),
    };
    // One line for who said something where, however often.
    let mut lines: Vec<(String, &MentionedIn, usize)> = Vec::new();
    for mention in mentions {
        let author = name(mention);
        match lines.iter_mut().find(|(known, first, _)| *known == author && first.room_id == mention.room_id) {
            Some((_, _, times)) => *times += 1,
            None => lines.push((author, mention, 1)),
        }
    }
    let mut text = format!("Hello {username},\n\nyou were mentioned while you were away:\n\n");
    for (author, mention, times) in lines.iter().take(MOST_LINES) {
        let often = if *times > 1 { format!(", {times} times") } else { String::new() };
        let place = link(&format!("/r/{}", mention.room_id));
        text.push_str(&format!("{author} in {}{often}\n{place}\n\n", one_line(&mention.room_name)));
    }
    if lines.len() > MOST_LINES {
        text.push_str("and more.\n\n");
    }
    let switch = link("/settings/security");
    text.push_str(&format!("If you do not want such mail, switch it off: {switch}\n"));
    (subject, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mail_tells_of_all() {
        let mention = |author: &str, room: &str| MentionedIn {
            author_id: author.into(),
            room_id: format!("id-of-{room}"),
            room_name: room.into(),
        };
        let names = HashMap::from([("a".to_owned(), "Alice".to_owned())]);
        let link = |path: &str| format!("https://chat.example.org{path}");
        let (subject, text) = write("bob", &[mention("a", "general")], &names, link);
        assert_eq!(subject, "Alice mentioned you in general");
        assert!(text.contains("Alice in general\nhttps://chat.example.org/r/id-of-general\n"), "{text}");
        let many = [mention("a", "general"), mention("x", "general"), mention("a", "general"), mention("a", "attic")];
        let (subject, text) = write("bob", &many, &names, link);
        assert_eq!(subject, "You were mentioned 4 times");
        for line in ["Alice in general, 2 times\n", "Somebody in general\n", "Alice in attic\n", "/settings/security"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let rooms: Vec<MentionedIn> = (0..50).map(|number| mention("a", &number.to_string())).collect();
        let (_, text) = write("bob", &rooms, &names, link);
        assert!(text.contains("and more.") && text.len() < 4000);
    }
}
