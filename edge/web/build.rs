//! Builds the browser client and writes the table of its files.
//!
//! `npm ci` runs only when `package-lock.json` is newer than what is installed; `vite build` only when a source changed.
//! With `WEB_DIST=folder` neither runs: that folder is embedded (packagers that built the client elsewhere).

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// What the client is made of, beside this file. The mock (`dev/`) and tests of the client are not part of it.
const SOURCES: &[&str] = &[
    "index.html",
    "package.json",
    "package-lock.json",
    "public",
    "src/main.ts",
    "src/protocol",
    "src/session",
    "src/ui",
    "src/worker",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() {
    println!("cargo::rerun-if-env-changed=WEB_DIST");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let dist = if let Some(given) = env::var_os("WEB_DIST") {
        let dist = PathBuf::from(given);
        println!("cargo::rerun-if-changed={}", dist.display());
        dist
    } else {
        for source in SOURCES {
            println!("cargo::rerun-if-changed={source}");
        }
        let dist = out.join("dist");
        install();
        build(&dist);
        dist
    };
    let Ok(dist) = dist.canonicalize() else {
        fail(&format!("the folder of the built browser client is missing: {}", dist.display()));
    };
    if !dist.join("index.html").is_file() {
        fail(&format!("{} holds no index.html", dist.display()));
    }
    let mut files = Vec::new();
    collect(&dist, &dist, &mut files).expect("the built client can be listed");
    files.sort();
    fs::write(out.join("table.rs"), table(&dist, &files)).expect("OUT_DIR can be written");
}

/// Ends the build with one clear line.
fn fail(line: &str) -> ! {
    println!("cargo::error={line}");
    std::process::exit(1);
}

fn install() {
    let modified = |path: &str| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let lock = modified("package-lock.json");
    if lock.is_some() && modified("node_modules/.package-lock.json") >= lock {
        return;
    }
    run(Command::new(npm()).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]), "npm ci");
}

fn build(dist: &Path) {
    let mut vite = Command::new("node");
    vite.args(["node_modules/vite/bin/vite.js", "build", "--emptyOutDir", "--logLevel", "warn", "--outDir"]).arg(dist);
    run(&mut vite, "vite build");
}

fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

fn run(command: &mut Command, what: &str) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            for line in String::from_utf8_lossy(&text).lines() {
                println!("cargo::warning={line}");
            }
            fail(&format!("`{what}` failed in edge/web: {}", output.status));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fail(&format!(
            "`{what}` cannot start: Node.js 20.19 or newer with npm is needed to build the browser client. Install it, \
             or set WEB_DIST to a folder that holds the built client."
        )),
        Err(error) => fail(&format!("`{what}` cannot start: {error}")),
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).expect("below the root");
            files.push(name.to_str().expect("file names of the client are ASCII").replace('\\', "/"));
        }
    }
    Ok(())
}

/// The table as a Rust expression. `name.gz` stands beside `name` and becomes a part of it.
fn table(dist: &Path, files: &[String]) -> String {
    let include = |name: &str| {
        let path = dist.join(name);
        format!("include_bytes!({:?})", path.to_str().expect("the build folder's path is Unicode"))
    };
    let entries = files.iter().filter(|name| name.rsplit('.').next() != Some("gz")).map(|name| {
        let bytes = fs::read(dist.join(name)).expect("the built client can be read");
        let zipped = format!("{name}.gz");
        let gzip = match files.binary_search(&zipped) {
            Ok(_) => format!("Some({})", include(&zipped)),
            Err(_) => "None".to_owned(),
        };
        format!(
            "({name:?}, Asset {{ bytes: {}, gzip: {gzip}, content_type: {:?}, etag: {:?}, immutable: {} }}),\n",
            include(name),
            content_type(name),
            etag(&bytes),
            name.starts_with("assets/"),
        )
    });
    format!("&[\n{}]", entries.collect::<String>())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// FNV-1a of 64 bits: tells versions of one file apart, nothing more.
fn etag(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("\"{hash:016x}\"")
}
