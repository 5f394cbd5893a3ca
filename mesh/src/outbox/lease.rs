//! Who relays the outbox of a database on which several processes work: one at a time, so that events keep their order. Who ends
//! gives it back; who is killed loses it after [`LEASE`]. If two relay for a moment all the same, events are repeated and not lost.

use std::time::{Duration, Instant};

use sea_orm::{ExprTrait as _, entity::prelude::*};
use sea_orm_migration::{
    prelude::{Query, SchemaManager, Table},
    schema::{big_integer, integer, uuid},
};

use crate::{
    clock::Clock,
    db::{Db, micros},
    ids,
};

/// For how long it is taken.
const LEASE: Duration = Duration::from_secs(10);
/// It is taken anew when it is older than this.
const RENEW_AFTER: Duration = Duration::from_secs(4);
/// The one row.
const ROW: i32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_lease")]
#[doc(hidden)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i32,
    holder: Uuid,
    until: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
#[doc(hidden)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One relay's claim.
pub(super) struct Lease {
    db: Db,
    clock: Clock,
    holder: Uuid,
    taken: Option<Instant>,
}

impl Lease {
    pub(super) fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock, holder: ids::new_id(), taken: None }
    }

    /// Whether this relay may work now. A database of one process needs no lease.
    pub(super) async fn holds(&mut self) -> Result<bool, DbErr> {
        if !self.db.is_shared() || self.taken.is_some_and(|at| at.elapsed() < RENEW_AFTER) {
            return Ok(true);
        }
        let (asked, now) = (Instant::now(), self.clock.now());
        let free = Column::Holder.eq(self.holder).or(Column::Until.lt(micros(now)));
        let tx = self.db.begin().await?;
        let taken = Entity::update_many()
            .col_expr(Column::Holder, Expr::value(self.holder))
            .col_expr(Column::Until, Expr::value(micros(now + LEASE)))
            .filter(free)
            .exec(&tx)
            .await?;
        tx.commit().await?;
        self.taken = (taken.rows_affected > 0).then_some(asked);
        Ok(self.taken.is_some())
    }

    /// Gives it back, so that the next one need not wait.
    pub(super) async fn release(&mut self) -> Result<(), DbErr> {
        if self.taken.take().is_none() {
            return Ok(());
        }
        let tx = self.db.begin().await?;
        Entity::update_many()
            .col_expr(Column::Until, Expr::value(0_i64))
            .filter(Column::Holder.eq(self.holder))
            .exec(&tx)
            .await?;
        tx.commit().await
    }
}

/// Makes the table `outbox_lease`.
pub fn migration() -> Box<dyn sea_orm_migration::MigrationTrait> {
    Box::new(Migration)
}

struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &'static str {
        "mesh_0002_outbox_lease"
    }
}

#[async_trait::async_trait]
impl sea_orm_migration::MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("outbox_lease")
            .col(integer("id").primary_key())
            .col(uuid("holder"))
            .col(big_integer("until"))
            .to_owned();
        manager.create_table(table).await?;
        let mut row = Query::insert();
        row.into_table("outbox_lease").columns(["id", "holder", "until"]);
        row.values_panic([ROW.into(), Uuid::nil().into(), 0_i64.into()]);
        manager.execute(row).await
    }
}
