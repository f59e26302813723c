//! From add-ons to the shapes of `wire::api`.

use crate::api::view::app_ref;
use crate::domain::{self, Service};
use crate::flows::{AddOnView, AttachmentView};
use crate::wire::api::{
    AddOn, AddOnService, AttachedAddOn, Attachment, BillingEntity, Named, Plan, Price, stable_id, timestamp,
};

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
        description: format!("{} of memory, {} connections", plan.memory, plan.connections),
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
