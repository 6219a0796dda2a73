//! Writes the seeds of all targets into `seeds/`.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    for target in stillpoint_fuzz::seeds::targets() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        for (name, bytes) in target.seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
