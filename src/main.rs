//! The binary; everything is in the library's [`cli`](nightlight::cli).

fn main() -> std::process::ExitCode {
    // Mesa prints an error at every look for a GPU when this is unset, as it is for services; it only wants any folder.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    nightlight::cli::main()
}
