//! Is this still stock? The guard decides at each call which parts of a request may run natively, and why not.
//!
//! Every answer comes from the current objects. The attributes of a class are looked up once, and the result is valid
//! for as long as the class keeps its version tag. Classes without a tag are checked at each call, and so are config
//! values, keys, the attributes of instances and the globals of modules.

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
