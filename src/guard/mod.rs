//! Is this still stock? What of a request may run natively at this very call, and why not.
//!
//! Every answer comes from looking at what stands there now. What a class has under some names is looked at once and holds
//! for as long as the class keeps its version tag. Classes without one are looked at each time, and so are config values,
//! keys, the attributes of instances and the globals of modules.

pub mod checks;
pub mod flask;
pub mod global;
pub mod json;
pub mod look;
pub mod overridden;
pub mod stock;
pub mod stock_class;
pub mod verdicts;
pub mod version_tag;
