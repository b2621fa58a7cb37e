//! Writes archives to begin with: one of each kind.

#[path = "../../content/seeds.rs"]
mod seeds;
#[path = "../../content/tar_bytes.rs"]
mod tar_bytes;
#[path = "../../content/zip_bytes.rs"]
mod zip_bytes;

fn main() -> std::io::Result<()> {
    for target in ["archive", "tar"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds::seeds() {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
