//! Add-ons and their attachments, with the secrets by which services are reached: the database is its owner's alone.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use crate::domain::{AddOn, AddOnName, AppId, Attachment, AttachmentName, Secret};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::all;
use crate::store::{Store, now_s};

/// An add-on to be made; the store adds its time.
#[derive(Clone, Debug)]
pub struct NewAddOn {
    /// Its identity.
    pub id: Uuid,
    /// The app it is made for.
    pub app: AppId,
    /// Its name on the node.
    pub name: AddOnName,
    /// The name of its service.
    pub service: String,
    /// The name of its plan within the service.
    pub plan: String,
    /// What its clients show.
    pub password: Secret,
    /// The slot of its container.
    pub slot: u32,
    /// What the app has it under.
    pub attachment: AttachmentName,
    /// The add-on whose contents it is given.
    pub fork_of: Option<Uuid>,
}

/// What to change of an add-on; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct AddOnChange {
    /// Another name.
    pub name: Option<AddOnName>,
    /// Another plan.
    pub plan: Option<String>,
    /// That it has answered.
    pub provisioned: Option<bool>,
    /// Another password.
    pub password: Option<Secret>,
}

// === impl Store ===

impl Store {
    /// Keeps a new add-on, attached to its app and not provisioned yet.
    ///
    /// # Errors
    /// [`StoreError::TooManyAddOns`], [`StoreError::AddOnNameTaken`], [`StoreError::AttachmentTaken`],
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn add_add_on(&self, new: NewAddOn) -> Result<(AddOn, Attachment), StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add an add-on")?;
            require(&transaction, new.app)?;
            if add_ons(&transaction)?.iter().filter(|add_on| add_on.app == new.app).count()
                >= AddOn::PER_APP_MAX
            {
                return Err(StoreError::TooManyAddOns);
            }
            let now = now_s();
            let sql = "INSERT INTO add_ons (id, app_id, name, service, plan, password, slot, provisioned, \
                       fork_of, created_at_s, updated_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, FALSE, ?9, ?8, ?8)";
            let fork_of = new.fork_of.map(|id| id.to_string());
            let (id, app, name) = (new.id.to_string(), new.app.to_string(), new.name.to_string());
            let password = new.password.reveal();
            let values = params![id, app, name, new.service, new.plan, password, new.slot, now, fork_of];
            let kept = transaction.execute(sql, values);
            unless_taken(kept, || StoreError::AddOnNameTaken(new.name.clone()))?;
            let attachment = insert(&transaction, (new.id, new.app), new.attachment)?;
            transaction.commit().attempt("keep a new add-on")?;
            let NewAddOn { id, app, name, service, plan, password, slot, attachment: _, fork_of } = new;
            let (created_at_s, updated_at_s) = (now, now);
            let made = AddOn {
                id,
                app,
                name,
                service,
                plan,
                password,
                slot,
                generation: 0,
                provisioned: false,
                fork_of,
                created_at_s,
                updated_at_s,
            };
            Ok((made, attachment))
        })
        .await
    }

    /// Every add-on of the node, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_ons(&self) -> Result<Vec<AddOn>, StoreError> {
        self.call(|connection| add_ons(connection)).await
    }

    /// Every attachment of the node, oldest first, but for those that are on their way out.
    ///
    /// # Errors
    /// The database fails.
    pub async fn attachments(&self) -> Result<Vec<Attachment>, StoreError> {
        self.call(|connection| attachments(connection, Whether::Stays)).await
    }

    /// Attachments on their way out: their apps may still be told of them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn leaving_attachments(&self) -> Result<Vec<Attachment>, StoreError> {
        self.call(|connection| attachments(connection, Whether::Leaves)).await
    }

    /// Every name under which an app has, or once had, an add-on, with the identity of that.
    ///
    /// # Errors
    /// The database fails.
    pub async fn attached_once(&self, app: AppId) -> Result<Vec<(Uuid, AttachmentName)>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM attached_once WHERE app_id = ?1";
            all(connection, "attached_once", (sql, &[&app.to_string()]), |record| record.attached_once())
        })
        .await
    }

    /// Changes an add-on; one that is gone stays gone. Another plan and another password are another generation.
    ///
    /// # Errors
    /// [`StoreError::AddOnNameTaken`], or the database fails.
    pub async fn change_add_on(&self, id: Uuid, change: AddOnChange) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE add_ons SET name = COALESCE(?2, name), plan = COALESCE(?3, plan), \
                       provisioned = COALESCE(?4, provisioned), password = COALESCE(?6, password), \
                       generation = generation + (COALESCE(?3, plan) <> plan OR ?6 IS NOT NULL), \
                       updated_at_s = ?5 WHERE id = ?1";
            let AddOnChange { name, plan, provisioned, password } = change;
            let (id, text) = (id.to_string(), name.as_ref().map(ToString::to_string));
            let password = password.as_ref().map(Secret::reveal);
            let changed = connection.execute(sql, params![id, text, plan, provisioned, now_s(), password]);
            match name {
                Some(name) => unless_taken(changed, || StoreError::AddOnNameTaken(name)),
                None => changed.attempt("change an add-on").map(drop),
            }
        })
        .await
    }

    /// Forgets an add-on and its attachments; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_add_on(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM add_ons WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("remove an add-on").map(drop)
        })
        .await
    }

    /// Attaches an add-on to an app.
    ///
    /// # Errors
    /// [`StoreError::AttachmentTaken`], [`StoreError::TooManyAttachments`], [`StoreError::NoSuchApp`], or the database fails.
    pub async fn attach(
        &self,
        add_on: Uuid,
        app: AppId,
        name: AttachmentName,
    ) -> Result<Attachment, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to attach an add-on")?;
            require(&transaction, app)?;
            let attachment = insert(&transaction, (add_on, app), name)?;
            transaction.commit().attempt("attach an add-on")?;
            Ok(attachment)
        })
        .await
    }

    /// Attaches an add-on to an app in the place of an attachment, under its name, at once.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], or the database fails.
    pub async fn attach_in_place(&self, old: Attachment, add_on: Uuid) -> Result<Attachment, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to attach an add-on")?;
            require(&transaction, old.app)?;
            remove(&transaction, old.id)?;
            let attachment = insert(&transaction, (add_on, old.app), old.name)?;
            transaction.commit().attempt("attach an add-on")?;
            Ok(attachment)
        })
        .await
    }

    /// Sees an attachment off: nobody finds it any more, and it is remembered until its app has been told.
    ///
    /// # Errors
    /// The database fails.
    pub async fn leave(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE attachments SET leaving = TRUE WHERE id = ?1";
            connection.execute(sql, [id.to_string()]).attempt("see an attachment off").map(drop)
        })
        .await
    }

    /// Forgets an attachment; one that is gone already stays gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn detach(&self, id: Uuid) -> Result<(), StoreError> {
        self.call(move |connection| remove(connection, id)).await
    }
}

/// Which attachments are meant.
#[derive(Clone, Copy)]
enum Whether {
    Stays,
    Leaves,
}

fn remove(connection: &Connection, id: Uuid) -> Result<(), StoreError> {
    let sql = "DELETE FROM attachments WHERE id = ?1";
    connection.execute(sql, [id.to_string()]).attempt("detach an add-on").map(drop)
}

fn add_ons(connection: &Connection) -> Result<Vec<AddOn>, StoreError> {
    let sql = "SELECT * FROM add_ons ORDER BY created_at_s, name";
    all(connection, "add_ons", (sql, &[]), |record| record.add_on())
}

fn attachments(connection: &Connection, whether: Whether) -> Result<Vec<Attachment>, StoreError> {
    let sql = match whether {
        Whether::Stays => "SELECT * FROM attachments WHERE NOT leaving ORDER BY created_at_s, rowid",
        Whether::Leaves => "SELECT * FROM attachments WHERE leaving ORDER BY created_at_s, rowid",
    };
    all(connection, "attachments", (sql, &[]), |record| record.attachment())
}

fn insert(
    connection: &Connection,
    (add_on, app): (Uuid, AppId),
    name: AttachmentName,
) -> Result<Attachment, StoreError> {
    if attachments(connection, Whether::Stays)?.iter().filter(|other| other.app == app).count()
        >= Attachment::PER_APP_MAX
    {
        return Err(StoreError::TooManyAttachments);
    }
    let (id, now) = (Uuid::new_v4(), now_s());
    let sql =
        "INSERT INTO attachments (id, add_on_id, app_id, name, created_at_s) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![id.to_string(), add_on.to_string(), app.to_string(), name.to_string(), now];
    unless_taken(connection.execute(sql, values), || StoreError::AttachmentTaken(name.clone()))?;
    let sql = "INSERT OR IGNORE INTO attached_once (app_id, add_on_id, name) VALUES (?1, ?2, ?3)";
    let values = params![app.to_string(), add_on.to_string(), name.to_string()];
    connection.execute(sql, values).attempt("remember an attachment")?;
    Ok(Attachment { id, add_on, app, name, created_at_s: now })
}

/// Tells a name that somebody has from other failures.
fn unless_taken(
    done: Result<usize, rusqlite::Error>,
    taken: impl FnOnce() -> StoreError,
) -> Result<(), StoreError> {
    match done {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Err(taken()),
        other => other.attempt("keep an add-on").map(drop),
    }
}
