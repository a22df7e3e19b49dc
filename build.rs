//! Tells the crate which Python it is built for.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tags)");
    #[cfg(feature = "python")]
    tell_python();
}

/// Sets `cfg(Py_3_13)` and the like, and `cfg(tags)` where classes have version tags that are known to be exact.
#[cfg(feature = "python")]
fn tell_python() {
    use pyo3_build_config::{BuildFlag, PythonImplementation};

    pyo3_build_config::use_pyo3_cfgs();
    let python = pyo3_build_config::get();
    let version = python.version();
    let is_known = version.major == 3 && (11..=14).contains(&version.minor);
    let has_gil = !python.build_flags().0.contains(&BuildFlag::Py_GIL_DISABLED);
    let is_cpython = python.target_abi().implementation() == PythonImplementation::CPython;
    if is_known && has_gil && is_cpython && !cfg!(feature = "abi3") {
        println!("cargo::rustc-cfg=tags");
    }
}
