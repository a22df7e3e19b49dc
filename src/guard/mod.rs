//! Is this still stock? What of a request may run natively at this very call, and why not.

pub mod flask;
pub mod json;
pub mod stock;
pub mod stock_class;
