//! The binary; everything is in the library's [`cli`](nightlight::cli).

fn main() -> std::process::ExitCode {
    nightlight::cli::main()
}
