//! Invitations: made by who runs the workspace, used by whoever has the link, as often as they may and no more, and only while
//! who made them could make them still.

use std::time::Duration;

use mesh::{audit, authn::Origin, fields::Fields, outbox};
use proto::auth::v1::{CreateInviteRequest, Invite, InviteAccepted, InvitedRoom, WorkspaceRole};
use sea_orm::ConnectionTrait;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts, admin,
    errors::AuthError,
    fields,
    rpc::{Call, Shared},
    store::{self, account, invite},
    tokens::Opaque,
};

/// How long an invitation is good when nothing was said.
const DEFAULT_SECONDS: u32 = 7 * 86_400;
const MAX_SECONDS: u32 = 365 * 86_400;
const MAX_USES: u32 = 100_000;
const MAX_ROOMS: usize = 50;
const MAX_NOTE_CHARS: usize = 128;

/// Makes an invitation. The token is in the answer only.
pub(crate) async fn create(
    shared: &Shared,
    call: &Call,
    request: CreateInviteRequest,
) -> Result<(Invite, String), AuthError> {
    let mut fields = Fields::default();
    let role = fields::role(&mut fields, request.role, WorkspaceRole::Member);
    if request.expires_in_seconds > MAX_SECONDS {
        fields.wrong("expires_in_seconds", format!("must be at most {MAX_SECONDS}"));
    }
    if request.max_uses > MAX_USES {
        fields.wrong("max_uses", format!("must be at most {MAX_USES}"));
    }
    let rooms = rooms(&mut fields, &request.rooms);
    let note = fields::one_line(&mut fields, "note", &request.note, MAX_NOTE_CHARS);
    fields.done()?;
    if role == WorkspaceRole::Owner {
        return Err(AuthError::RoleTooLow);
    }
    let life = if request.expires_in_seconds == 0 { DEFAULT_SECONDS } else { request.expires_in_seconds };
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    let actor = admin::administrator(&tx, call).await?;
    admin::may_change(&actor, role)?;
    let token = Opaque::new(mesh::ids::new_id());
    let model = invite::Model {
        id: token.id,
        hash: token.hash(),
        created_by: actor.id,
        created_at: store::micros(now),
        expires_at: store::micros(now + Duration::from_secs(u64::from(life))),
        max_uses: request.max_uses.into(),
        uses: 0,
        role: role.into(),
        rooms: serde_json::to_string(&rooms).map_err(AuthError::internal)?,
        note,
        revoked_at: 0,
    };
    invite::insert(&tx, model.clone()).await?;
    let entry = call.entry("invite.created", model.id).with("max_uses", model.max_uses);
    audit::append(&tx, &[entry.with("role", role.as_str_name()).with("rooms", rooms.len())], now).await?;
    tx.commit().await?;
    Ok((to_proto(&model), token.encode()))
}

fn rooms(fields: &mut Fields, asked: &[InvitedRoom]) -> Vec<(Uuid, u32)> {
    if asked.len() > MAX_ROOMS {
        fields.wrong("rooms", format!("must have at most {MAX_ROOMS} entries"));
    }
    let room = |(place, room): (usize, &InvitedRoom)| {
        (fields.id(&format!("rooms[{place}].room_id"), &room.room_id), room.room_role)
    };
    asked.iter().enumerate().map(room).collect()
}

/// A page of invitations.
pub(crate) async fn list(
    shared: &Shared,
    call: &Call,
    before: Option<Uuid>,
    rows: u64,
) -> Result<Vec<Invite>, AuthError> {
    let run = async {
        let db = shared.db.reader();
        admin::administrator(db, call).await?;
        Ok(invite::page(db, before, rows).await?.iter().map(to_proto).collect())
    };
    shared.db.within(run).await
}

/// Ends an invitation.
pub(crate) async fn revoke(shared: &Shared, call: &Call, id: Uuid) -> Result<(), AuthError> {
    let now = shared.clock.now();
    let tx = shared.db.begin().await?;
    admin::administrator(&tx, call).await?;
    invite::find(&tx, id).await?.ok_or(AuthError::InviteNotFound)?;
    if invite::revoke(&tx, id, store::micros(now)).await? {
        audit::append(&tx, &[call.entry("invite.revoked", id)], now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The invitation of a token, if it can be used.
pub(crate) async fn good<C: ConnectionTrait>(
    db: &C,
    token: &str,
    now: OffsetDateTime,
) -> Result<invite::Model, AuthError> {
    let token = Opaque::decode(token).ok_or(AuthError::InviteInvalid)?;
    let known = invite::find(db, token.id).await?;
    // Hashes are compared, so the time tells nothing about the token.
    let known = known.filter(|invite| invite.hash == token.hash() && invite.is_good(store::micros(now)));
    let known = known.ok_or(AuthError::InviteInvalid)?;
    maker(db, &known).await?;
    Ok(known)
}

/// Who made an invitation, if they could make it still: nobody keeps by a link what was taken away from them.
async fn maker<C: ConnectionTrait>(db: &C, invite: &invite::Model) -> Result<account::Model, AuthError> {
    let account = account::find(db, invite.created_by).await?;
    let account = admin::administrates(account).map_err(|_| AuthError::InviteInvalid)?;
    admin::may_change(&account, invite.role()).map_err(|_| AuthError::InviteInvalid)?;
    Ok(account)
}

/// Uses an invitation for an account, and has it brought to the rooms. An account that used it before is counted once. Who made
/// it may have lost their rights since it was found good, so that is asked again here.
pub(crate) async fn accept<C: ConnectionTrait>(
    tx: &C,
    known: &invite::Model,
    user: &account::Model,
    origin: &Origin,
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, AuthError> {
    let micros = store::micros(now);
    let inviter = maker(tx, known).await?;
    let rooms = rooms_of(known);
    let ids = rooms.iter().map(|(room, _)| *room).collect();
    if !invite::note_use(tx, known.id, user.id, micros).await? {
        return Ok(ids);
    }
    if !invite::count_use(tx, known.id, micros).await? {
        return Err(AuthError::InviteInvalid);
    }
    let accepted = InviteAccepted {
        invite_id: known.id.to_string(),
        invited_by: known.created_by.to_string(),
        invited_by_role: inviter.role().into(),
        user_id: user.id.to_string(),
        user_role: user.role,
        rooms: rooms.into_iter().map(|(id, room_role)| InvitedRoom { room_id: id.to_string(), room_role }).collect(),
        at: Some(store::timestamp(micros)),
    };
    outbox::add(tx, &[accounts::message(&accepted, user.id)?], now).await?;
    let entry = audit::Entry::new("invite.accepted", known.id).by(user.id).from(origin.place());
    audit::append(tx, &[entry], now).await?;
    Ok(ids)
}

/// How many rooms it leads into.
pub(crate) fn room_count(invite: &invite::Model) -> u32 {
    u32::try_from(rooms_of(invite).len()).unwrap_or(u32::MAX)
}

fn rooms_of(invite: &invite::Model) -> Vec<(Uuid, u32)> {
    serde_json::from_str(&invite.rooms).unwrap_or_default()
}

fn to_proto(invite: &invite::Model) -> Invite {
    let rooms = rooms_of(invite);
    Invite {
        id: invite.id.to_string(),
        created_by: invite.created_by.to_string(),
        created_at: Some(store::timestamp(invite.created_at)),
        expires_at: Some(store::timestamp(invite.expires_at)),
        max_uses: u32::try_from(invite.max_uses).unwrap_or(u32::MAX),
        uses: u32::try_from(invite.uses).unwrap_or(u32::MAX),
        role: invite.role,
        rooms: rooms.into_iter().map(|(id, room_role)| InvitedRoom { room_id: id.to_string(), room_role }).collect(),
        revoked: invite.revoked_at != 0,
        note: invite.note.clone(),
    }
}

#[cfg(test)]
mod tests {
    use mesh::{clock::Clock, db::Db};

    use super::*;

    /// An invitation of somebody in this role to become a member, and its token.
    async fn invited_by(db: &Db, role: WorkspaceRole, now: OffsetDateTime) -> (account::Model, invite::Model, String) {
        let maker = accounts::blank("maker".into(), "Maker".into(), role, now);
        let token = Opaque::new(mesh::ids::new_id());
        let invite = invite::Model {
            id: token.id,
            hash: token.hash(),
            created_by: maker.id,
            created_at: store::micros(now),
            expires_at: store::micros(now + Duration::from_secs(60)),
            max_uses: 0,
            uses: 0,
            role: WorkspaceRole::Member.into(),
            rooms: "[]".into(),
            note: String::new(),
            revoked_at: 0,
        };
        let tx = db.begin().await.unwrap();
        account::insert(&tx, maker.clone()).await.unwrap();
        invite::insert(&tx, invite.clone()).await.unwrap();
        tx.commit().await.unwrap();
        (maker, invite, token.encode())
    }

    #[tokio::test]
    async fn who_lost_their_rights_meanwhile_has_invited_nobody() {
        let (db, _folder) = store::database().await;
        let now = Clock::system().now();
        let (maker, invite, token) = invited_by(&db, WorkspaceRole::Admin, now).await;
        let guest = accounts::blank("guest".into(), "Guest".into(), WorkspaceRole::Member, now);
        let shown = good(db.reader(), &token, now).await.unwrap();
        assert_eq!(shown, invite, "it was good when it was looked at");
        let demoted = account::Model { role: WorkspaceRole::Member.into(), ..maker.clone() };
        let disabled = account::Model { disabled: true, ..maker.clone() };
        for changed in [demoted, disabled] {
            let tx = db.begin().await.unwrap();
            account::update(&tx, &changed).await.unwrap();
            let accepted = accept(&tx, &shown, &guest, &Origin::default(), now).await;
            assert!(matches!(accepted, Err(AuthError::InviteInvalid)), "in the transaction that would use it");
            assert!(matches!(good(&tx, &token, now).await, Err(AuthError::InviteInvalid)));
            tx.rollback().await.unwrap();
        }
        let tx = db.begin().await.unwrap();
        accept(&tx, &shown, &guest, &Origin::default(), now).await.unwrap();
        tx.commit().await.unwrap();
    }
}
