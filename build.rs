//! Tells the crate which Python it is built for: `cfg(Py_3_13)`, `cfg(Py_LIMITED_API)`, `cfg(Py_GIL_DISABLED)`.

fn main() {
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
}
