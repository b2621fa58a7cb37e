//! Writes archives to begin with, one of each kind, and makes the folder for what is found of compose files.

#[path = "../../content/seeds.rs"]
mod seeds;
#[path = "../../content/tar_bytes.rs"]
mod tar_bytes;
#[path = "../../content/zip_bytes.rs"]
mod zip_bytes;

fn main() -> std::io::Result<()> {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    std::fs::create_dir_all(corpus.join("compose"))?;
    for target in ["archive", "tar"] {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds::seeds() {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
