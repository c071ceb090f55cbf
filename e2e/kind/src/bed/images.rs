//! The images on the kind cluster: ours, and one of a client with nothing of ours in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Bed, IMAGE, KCAT_IMAGE, layout, name, repository, run};

impl Bed {
    /// The image under test, with this binary in it.
    pub(super) fn build_image(&self, binary: &str) -> Result<()> {
        let context = self.folder.path().join("image");
        fs::create_dir(&context)?;
        fs::copy(repository().join("Dockerfile"), context.join("Dockerfile"))?;
        // Nine tenths of the file are for debuggers.
        run(Command::new("strip").arg("-o").arg(context.join("taffrail")).arg(binary), None)?;
        build(IMAGE, &context)
    }

    /// An image of this machine's kcat with the libraries that it is linked to: a client with nothing of ours in it.
    pub(super) fn build_kcat(&self) -> Result<()> {
        let context = self.folder.path().join("kcat");
        fs::create_dir_all(context.join("lib"))?;
        let kcat = run(Command::new("sh").args(["-c", "command -v kcat"]), None).context("kcat is needed")?;
        let kcat = kcat.trim();
        fs::copy(kcat, context.join("kcat"))?;
        let linked = run(Command::new("ldd").arg(kcat), None)?;
        // `name => /path (address)`; libc comes with the base image.
        let libraries = linked.lines().filter_map(|line| line.split_once("=> ")?.1.split_whitespace().next());
        for library in libraries.filter(|path| path.starts_with('/') && !path.contains("/libc.so")) {
            let name = Path::new(library).file_name().context("a library has a name")?;
            fs::copy(library, context.join("lib").join(name))?;
        }
        let dockerfile = "FROM gcr.io/distroless/cc-debian12:nonroot\nCOPY lib /kcat/lib\nCOPY kcat /kcat/kcat\n\
                          ENV LD_LIBRARY_PATH=/kcat/lib\nENTRYPOINT [\"/kcat/kcat\"]\n";
        fs::write(context.join("Dockerfile"), dockerfile)?;
        build(KCAT_IMAGE, &context)
    }

    /// The image under test by another name, which is on the workers, too.
    pub fn second_image(&self) -> Result<String> {
        let second = format!("{IMAGE}-2");
        run(Command::new("docker").args(["tag", IMAGE, &second]), None)?;
        self.load_image(&second)?;
        Ok(second)
    }

    /// Puts an image of this machine onto the cluster's workers.
    pub fn load_image(&self, image: &str) -> Result<()> {
        let workers = layout::workers(&name()).join(",");
        run(&mut self.kind(&["load", "docker-image", image, "--nodes", &workers]), None).map(drop)
    }
}

fn build(image: &str, context: &Path) -> Result<()> {
    let mut build = Command::new("docker");
    // The classic builder needs no plugin.
    build.args(["build", "--quiet", "--tag", image]).arg(context).env("DOCKER_BUILDKIT", "0");
    run(&mut build, None).map(drop)
}
