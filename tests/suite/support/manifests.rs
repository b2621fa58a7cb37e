//! What is applied, as text.

use super::{plane::OPERATOR, proxmox::Proxmox};

/// The manifests for one simulated Proxmox.
pub struct Manifests {
    endpoint: String,
    fingerprint: String,
}

impl Manifests {
    pub fn new(proxmox: &Proxmox) -> Self {
        Self { endpoint: proxmox.url.clone(), fingerprint: proxmox.fingerprint.clone() }
    }

    /// The namespace of the tenant, the credentials, and the cluster.
    pub fn administrator(&self) -> String {
        format!("{}{}", Self::tenant(), self.cluster())
    }

    fn tenant() -> String {
        let (id, secret) = (cloudfaster::simulator::Scenario::TOKEN_ID, cloudfaster::simulator::Scenario::TOKEN_SECRET);
        format!(
            "
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {{cloudfaster.app/tenant: 'true'}}
---
apiVersion: v1
kind: Secret
metadata: {{name: proxmox, namespace: {OPERATOR}}}
stringData: {{tokenId: '{id}', tokenSecret: '{secret}'}}
---
"
        )
    }

    fn cluster(&self) -> String {
        let Self { endpoint, fingerprint } = self;
        format!(
            "
apiVersion: cloudfaster.app/v1alpha1
kind: ProxmoxCluster
metadata: {{name: main}}
spec:
  endpoints: ['{endpoint}']
  credentials: {{secretRef: {{name: proxmox}}}}
  tls: {{fingerprints: ['{fingerprint}']}}
  nodes: [{{name: pve1}}, {{name: pve2}}, {{name: pve3}}]
  templates: [{{os: DEBIAN12, name: debian12}}]
  vmidRanges: [{{os: DEBIAN12, from: 1000, to: 1999}}]
  reserve: {{memory: 1Gi, storage: 1Gi}}
  tenants:
    - namespaceSelector: {{matchLabels: {{cloudfaster.app/tenant: 'true'}}}}
---
"
        )
    }

    /// A small machine, with its owner's key in a Secret of the tenant's: as `data`, for what was given as `stringData` belongs
    /// to its first server-side applier alone.
    pub fn machine(&self, name: &str) -> String {
        format!(
            "
apiVersion: v1
kind: Secret
metadata: {{name: keys, namespace: shop}}
data:
  laptop: c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUhWWXk1S3FRSjdvN2d4REl4ZjFxOUpxMG04cW0wcDd5MGNYbDB4MFkwYUIgd2ViQGxhcHRvcA==
---
apiVersion: cloudfaster.app/v1alpha1
kind: ProxmoxVM
metadata: {{name: {name}, namespace: shop}}
spec:
  clusterRef: {{name: main}}
  os: DEBIAN12
  cores: 2
  memory: 2Gi
  disk: {{size: 2Gi}}
  cloudInit: {{user: deploy, sshKeySecretRefs: [{{name: keys, key: laptop}}]}}
---
"
        )
    }
}
