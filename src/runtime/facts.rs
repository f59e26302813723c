//! What this host's kernel offers, asked once. The plan is made of the wish and of these facts, so it needs no kernel itself.

use serde::{Deserialize, Serialize};

use crate::sys::mount;

/// Facts that change a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How layers are handed to an overlay.
    pub overlay_layers: OverlayLayers,
}

/// How layers are handed to an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverlayLayers {
    /// As detached mounts, by descriptor.
    ByDescriptor,
    /// As paths, of descriptors: the layers are attached for a moment in the spawner's own mount namespace (Linux before 6.15).
    ByPath,
}

impl Facts {
    /// Asks the kernel; needs the rights that containers need.
    #[must_use]
    pub fn gather() -> Facts {
        let by_descriptor = mount::overlay_takes_descriptors();
        let overlay_layers = if by_descriptor { OverlayLayers::ByDescriptor } else { OverlayLayers::ByPath };
        Facts { overlay_layers }
    }
}
