//! Domains, their certificates, and the orders for them.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Record;
use crate::domain::{
    Certificate, CertificateOrder, CertificateSource, CustomDomain, EndpointRef, OrderFault, OrderStage,
    PlacedOrder, SecretKey, SniEndpoint, Standing,
};
use crate::store::error::StoreError;

impl Record<'_> {
    pub(in crate::store) fn domain(&self) -> Result<CustomDomain, StoreError> {
        Ok(CustomDomain {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            hostname: self.parse("hostname")?,
            endpoint: match (self.parse_optional("sni_endpoint_id")?, self.get("sni_endpoint_name")?) {
                (Some(id), Some(name)) => Some(EndpointRef { id, name }),
                (Some(_), None) | (None, _) => None,
            },
            order: self.get::<Option<String>>("stage")?.map(|_| self.certificate_order()).transpose()?,
            created_at_s: self.get("created_at_s")?,
        })
    }

    pub(in crate::store) fn certificate_order(&self) -> Result<CertificateOrder, StoreError> {
        let stage: String = self.get("stage")?;
        let fault = self.parse_optional("fault")?.map(|kind| {
            Ok::<_, StoreError>(OrderFault { detail: self.get("detail")?, ..OrderFault::new(kind, "") })
        });
        Ok(CertificateOrder {
            domain: self.parse("domain_id")?,
            app: self.app_id("app_id")?,
            hostname: self.parse("hostname")?,
            stage: match stage.as_str() {
                "waiting" => OrderStage::Waiting,
                "placed" => {
                    let key: String = self.get("private_key")?;
                    let key = SecretKey::new(self.decoded("private_key", &key)?);
                    OrderStage::Placed(PlacedOrder { url: self.get("url")?, key })
                }
                "in-force" => OrderStage::InForce,
                "given-up" => OrderStage::GivenUp,
                other => return Err(self.broken("stage", other)),
            },
            failures: self.get("failures")?,
            fault: fault.transpose()?,
            expires_at_s: self.get("expires_at_s")?,
            due_at_s: self.get("due_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    pub(in crate::store) fn sni_endpoint(&self) -> Result<SniEndpoint, StoreError> {
        let chain: String = self.get("chain")?;
        let chain = chain.lines().map(|line| self.decoded("chain", line)).collect::<Result<_, _>>()?;
        let key: String = self.get("private_key")?;
        let key = SecretKey::new(self.decoded("private_key", &key)?);
        Ok(SniEndpoint {
            id: self.parse("id")?,
            app: self.app_id("app_id")?,
            name: self.get("name")?,
            certificate: Arc::new(Certificate { chain, key }),
            standing: if self.get("trusted")? { Standing::Trusted } else { Standing::Unknown },
            source: if self.get("automatic")? { CertificateSource::Node } else { CertificateSource::User },
            created_at_s: self.get("created_at_s")?,
            updated_at_s: self.get("updated_at_s")?,
        })
    }

    /// Base64; what is wrong with it is not told, since it may be part of a key.
    fn decoded(&self, column: &str, text: &str) -> Result<Vec<u8>, StoreError> {
        BASE64_STANDARD.decode(text).map_err(|_| self.broken(column, "no base64"))
    }
}
