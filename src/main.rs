//! The binary; everything is in the library's [`cli`](nightlight::cli).

fn main() -> std::process::ExitCode {
    for (name, value) in nightlight::cli::environment() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var(name, value) };
    }
    nightlight::cli::main()
}
