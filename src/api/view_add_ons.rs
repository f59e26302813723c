//! From add-ons to the shapes of `wire::api`.

use crate::api::view::app_ref;
use crate::domain::{self, Service, TransferKind, TransferState};
use crate::flows::ports::RemovedData;
use crate::flows::{AddOnView, AttachmentView};
use crate::wire::api::{
    AddOn, AddOnService, AttachedAddOn, Attachment, BackupSchedule, BillingEntity, DataTransfer, Named, Plan,
    Price, RemovedAddOn, ServiceFact, ServiceInfo, TransferCause, TransferLine, TransferOptions, stable_id,
    timestamp,
};

/// What the addresses of backups begin with; their identity follows.
pub(super) const BACKUP_URL: &str = "dyno-backup:";

/// Nothing is billed.
fn free() -> Price {
    Price { cents: 0, contract: false, unit: "month".to_owned() }
}

fn plan_name(service: &Service, plan: &str) -> String {
    format!("{}:{plan}", service.name)
}

/// A service.
pub(super) fn service(service: &Service) -> AddOnService {
    AddOnService {
        cli_plugin_name: None,
        created_at: timestamp(0),
        human_name: service.title.clone(),
        id: stable_id("addon-service", &service.name),
        name: service.name.clone(),
        state: "ga".to_owned(),
        supports_multiple_installations: true,
        supports_sharing: true,
        updated_at: timestamp(0),
    }
}

/// A plan.
pub(super) fn plan(service: &Service, plan: &domain::Plan) -> Plan {
    let name = plan_name(service, &plan.name);
    Plan {
        addon_service: Named::stable("addon-service", &service.name),
        created_at: timestamp(0),
        default: service.plans.first() == Some(plan),
        description: format!(
            "{} of memory, {} of disk, {} connections",
            plan.memory, plan.disk, plan.connections
        ),
        human_name: plan.description.clone(),
        id: stable_id("plan", &name),
        installable_inside_private_network: true,
        installable_outside_private_network: true,
        name,
        price: free(),
        space_default: false,
        state: "public".to_owned(),
        updated_at: timestamp(0),
        visible: true,
    }
}

/// An add-on.
pub(super) fn add_on(view: &AddOnView) -> AddOn {
    let add_on = &view.add_on;
    let own = view.attachments.iter().filter(|has| has.app.id == view.app.id);
    AddOn {
        actions: Vec::new(),
        addon_service: Named::stable("addon-service", &view.service.name),
        app: app_ref(&view.app),
        billed_price: free(),
        billing_entity: BillingEntity {
            id: view.app.id.0,
            name: view.app.name.to_string(),
            kind: "app".to_owned(),
        },
        config_vars: own.map(|has| has.attachment.name.config_var()).collect(),
        created_at: timestamp(add_on.created_at_s),
        id: add_on.id,
        memory_bytes: view.memory.map(|memory| memory.0),
        name: add_on.name.to_string(),
        plan: plan(view.service, view.plan),
        provider_id: add_on.id.to_string(),
        provision_message: None,
        state: if add_on.provisioned { "provisioned" } else { "provisioning" }.to_owned(),
        updated_at: timestamp(add_on.updated_at_s),
        web_url: None,
    }
}

/// What a service tells of itself, between what the node knows of it. Values of one name stand together.
pub(super) fn service_info(
    view: &AddOnView,
    told: Vec<(String, String)>,
    resource_url: String,
) -> ServiceInfo {
    let state = if view.add_on.provisioned { "Available" } else { "Preparing" };
    let memory = view.memory.map(|memory| ("Memory Used".to_owned(), memory.to_string()));
    let first = [("Plan", view.plan.description.clone()), ("Status", state.to_owned())];
    let last = [("Created", timestamp(view.add_on.created_at_s))];
    let named = |(name, value): (&str, String)| (name.to_owned(), value);
    let facts = first.into_iter().map(named).chain(told).chain(memory).chain(last.into_iter().map(named));
    let mut info: Vec<ServiceFact> = Vec::new();
    for (name, value) in facts {
        match info.iter_mut().find(|fact| fact.name == name) {
            Some(fact) => fact.values.push(value),
            None => info.push(ServiceFact { name, values: vec![value] }),
        }
    }
    ServiceInfo {
        addon_id: view.add_on.id,
        info,
        name: view.add_on.name.to_string(),
        plan: view.plan.name.clone(),
        resource_url,
        prefer_native_tls: false,
    }
}

/// A backup, or what was made from one.
pub(super) fn transfer(transfer: &domain::Transfer) -> DataTransfer {
    let at = |state: TransferState| transfer.finished_at_s.filter(|_| transfer.state == state).map(timestamp);
    let file = |is_file: bool, other: &str| if is_file { "gof3r".to_owned() } else { other.to_owned() };
    let lines = transfer.message.iter().map(|message| TransferLine {
        created_at: timestamp(transfer.finished_at_s.unwrap_or(transfer.created_at_s)),
        message: message.clone(),
    });
    let is_scheduled = transfer.cause == domain::TransferCause::Schedule;
    DataTransfer {
        canceled_at: at(TransferState::Cancelled),
        created_at: timestamp(transfer.created_at_s),
        digest: transfer.digest.clone(),
        finished_at: transfer.finished_at_s.map(timestamp),
        from_name: transfer.from.clone(),
        from_type: file(transfer.kind == TransferKind::Restore, "pg_dump"),
        logs: lines.collect(),
        name: transfer.name().to_string(),
        num: transfer.number,
        options: TransferOptions {},
        processed_bytes: transfer.bytes,
        schedule: is_scheduled.then_some(TransferCause { uuid: transfer.add_on }),
        source_bytes: transfer.bytes,
        started_at: timestamp(transfer.created_at_s),
        succeeded: (transfer.state != TransferState::Running)
            .then_some(transfer.state == TransferState::Succeeded),
        to_name: transfer.to.clone(),
        to_type: file(transfer.kind == TransferKind::Backup, "pg_restore"),
        to_url: (transfer.kind == TransferKind::Backup).then(|| format!("{BACKUP_URL}{}", transfer.id)),
        updated_at: timestamp(transfer.finished_at_s.unwrap_or(transfer.created_at_s)),
        uuid: transfer.id,
        verified_at: transfer.verified.as_ref().map(|verified| timestamp(verified.at_s)),
        verify_fault: transfer.verified.as_ref().and_then(|verified| verified.fault.clone()),
        warnings: 0,
    }
}

/// When backups are taken.
pub(super) fn schedule(schedule: domain::BackupSchedule) -> BackupSchedule {
    let domain::BackupSchedule { id, name, hour, zone, add_on: _, looked_at_s: _ } = schedule;
    BackupSchedule { hour, name, timezone: zone, uuid: id }
}

/// Data of an add-on that was destroyed.
pub(super) fn removed(data: RemovedData) -> RemovedAddOn {
    let RemovedData { id, name, service, plan, attachment: _, removed_at_s, kept_until_s } = data;
    RemovedAddOn {
        id,
        kept_until: timestamp(kept_until_s),
        name,
        plan: format!("{service}:{plan}"),
        removed_at: timestamp(removed_at_s),
    }
}

/// An add-on that is no more.
pub(super) fn destroyed(view: &AddOnView) -> AddOn {
    AddOn { state: "deprovisioned".to_owned(), ..add_on(view) }
}

/// An attachment.
pub(super) fn attachment(view: &AttachmentView) -> Attachment {
    let plan = format!("{}:{}", view.add_on.service, view.add_on.plan);
    Attachment {
        addon: AttachedAddOn {
            app: app_ref(&view.owner),
            id: view.add_on.id,
            name: view.add_on.name.to_string(),
            plan: Named::stable("plan", &plan),
        },
        app: app_ref(&view.app),
        config_vars: vec![view.attachment.name.config_var()],
        created_at: timestamp(view.attachment.created_at_s),
        id: view.attachment.id,
        log_input_url: None,
        name: view.attachment.name.to_string(),
        namespace: None,
        updated_at: timestamp(view.attachment.created_at_s),
        web_url: None,
    }
}
