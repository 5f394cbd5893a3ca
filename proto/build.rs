//! Compiles the contracts with protox (pure Rust, no `protoc`) and keeps two descriptor sets for reflection: the public
//! packages and the internal ones.

use std::{error::Error, fs, path::PathBuf};

use prost::Message as _;

const ROOTS: [&str; 2] = [".", "third_party"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = proto_files("loquat")?;
    // Not imported by anything, but clients of the reflection want to understand error details.
    files.push("third_party/google/rpc/error_details.proto".into());
    let mut all = protox::compile(&files, ROOTS)?;
    println!("cargo:rerun-if-changed=loquat");
    println!("cargo:rerun-if-changed=third_party");

    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("all.bin"), all.encode_to_vec())?;
    fs::write(out.join("services.rs"), services(&all))?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds_with_config(all.clone(), config)?;

    all.file.retain(|file| !file.package().contains(".internal."));
    fs::write(out.join("public.bin"), all.encode_to_vec())?;
    Ok(())
}

/// The table of services, as the source of a slice.
fn services(set: &prost_types::FileDescriptorSet) -> String {
    let mut source = String::from("&[");
    for file in &set.file {
        let package = file.package();
        for service in &file.service {
            let name = format!("{package}.{}", service.name());
            source += &format!("Service {{ package: {package:?}, name: {name:?}, methods: &[");
            for method in &service.method {
                let path = format!("/{name}/{}", method.name());
                let streams = method.client_streaming() || method.server_streaming();
                source += &format!("Method {{ path: {path:?}, streams: {streams} }},");
            }
            source += "] },";
        }
    }
    source + "]"
}

/// Every `.proto` below `folder`, sorted so that the build is reproducible.
fn proto_files(folder: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
