//! A disk that is mounted, and what is on it after the power went.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use untag_power_loss::{Disk, Outage, Survival, Tree};

/// Lets somebody use a disk. Returns what it has then.
fn used(work: impl FnOnce(&Path)) -> Outage {
    let disk = Disk::default();
    let mount_point = tempfile::tempdir().unwrap();
    let mounted = disk
        .mount(mount_point.path())
        .expect("root mounts FUSE, where there is /dev/fuse");
    work(mount_point.path());
    drop(mounted);
    let record = disk.record();
    let mut outage = Outage::new(Tree::default());
    record.pass(&mut outage, 0, record.moments());
    outage
}

/// The files of an image with their content. A directory has none.
fn files(image: &Tree) -> BTreeMap<String, Option<Vec<u8>>> {
    let directory = tempfile::tempdir().unwrap();
    image.write_to(directory.path()).unwrap();
    let mut files = BTreeMap::new();
    let mut left = vec![directory.path().to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(directory.path()).unwrap();
            let content = path.is_file().then(|| fs::read(&path).unwrap());
            files.insert(name.to_str().unwrap().to_owned(), content);
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    files
}

/// The images of many seeds with what survived.
fn images(outage: &Outage) -> impl Iterator<Item = (Survival, BTreeMap<String, Option<Vec<u8>>>)> {
    (0..200).map(|seed| {
        let (survival, image) = outage.image(seed);
        (survival, files(&image))
    })
}

/// What surely is on the disk.
fn synced(outage: &Outage) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut images = images(outage).filter(|(survival, _)| *survival == Survival::Nothing);
    images.next().unwrap().1
}

fn write(path: &Path, content: &[u8]) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_file_and_its_name_are_synced_each_for_itself() {
    let outage = used(|disk| {
        write(&disk.join("content"), b"lost").sync_data().unwrap();
    });
    assert_eq!(synced(&outage), BTreeMap::new());
    let outage = used(|disk| {
        write(&disk.join("name"), b"lost");
        File::open(disk).unwrap().sync_all().unwrap();
    });
    let empty = BTreeMap::from([("name".to_owned(), Some(Vec::new()))]);
    assert_eq!(synced(&outage), empty);
    let outage = used(|disk| {
        fs::create_dir(disk.join("directory")).unwrap();
        write(&disk.join("directory/both"), b"kept")
            .sync_data()
            .unwrap();
        File::open(disk.join("directory"))
            .unwrap()
            .sync_all()
            .unwrap();
        File::open(disk).unwrap().sync_all().unwrap();
        fs::remove_file(disk.join("directory/both")).unwrap();
        fs::remove_dir(disk.join("directory")).unwrap();
    });
    let both = BTreeMap::from([
        ("directory".to_owned(), None),
        ("directory/both".to_owned(), Some(b"kept".to_vec())),
    ]);
    assert_eq!(synced(&outage), both);
}

#[test]
fn a_rename_is_whole_and_may_come_before_an_earlier_one() {
    let outage = used(|disk| {
        write(&disk.join("old"), b"old").sync_data().unwrap();
        write(&disk.join("new"), b"new").sync_data().unwrap();
        File::open(disk).unwrap().sync_all().unwrap();
        fs::rename(disk.join("old"), disk.join("older")).unwrap();
        fs::rename(disk.join("new"), disk.join("old")).unwrap();
    });
    let found: BTreeSet<_> = images(&outage)
        .map(|(_, image)| image.into_keys().collect::<Vec<_>>().join(" "))
        .collect();
    let possible = ["new old", "new older", "old", "old older"];
    assert_eq!(found, possible.map(str::to_owned).into());
}

#[test]
fn a_write_is_torn_at_sectors_and_one_that_is_lost_may_leave_its_length() {
    let outage = used(|disk| {
        let file = write(&disk.join("file"), &[1; 1024]);
        file.sync_all().unwrap();
        File::open(disk).unwrap().sync_all().unwrap();
        file.write_all_at(&[2; 1100], 500).unwrap();
    });
    let mut torn = 0;
    let mut lengths = BTreeSet::new();
    for (_, image) in images(&outage) {
        let bytes = image["file"].clone().unwrap();
        lengths.insert(bytes.len());
        assert!(bytes[..500].iter().all(|byte| *byte == 1));
        let parts = [500..512, 512..1024, 1024..1536, 1536..1600];
        let parts = parts.map(|part| {
            let part = &bytes[part.start.min(bytes.len())..part.end.min(bytes.len())];
            assert!(
                part.iter().all(|byte| Some(byte) == part.first()),
                "half a sector"
            );
            part.first().copied().unwrap_or_default()
        });
        torn += usize::from(parts.contains(&2) && parts.iter().any(|part| *part != 2));
    }
    assert!(torn > 20, "{torn}");
    assert_eq!(lengths, [1024, 1536, 1600].into());
}

#[test]
fn the_same_seed_makes_the_same_image() {
    let outage = used(|disk| {
        for number in 0..20 {
            write(&disk.join(number.to_string()), &[number; 5000]);
        }
    });
    let all: Vec<_> = images(&outage).collect();
    assert!(images(&outage).eq(all.iter().cloned()));
    let different: BTreeSet<_> = all.into_iter().map(|(_, image)| image).collect();
    assert!(different.len() > 100, "{}", different.len());
}

#[test]
fn what_programs_read_is_what_they_have_written() {
    used(|disk| {
        let kept = write(&disk.join("kept"), b"0123456789");
        kept.set_len(4).unwrap();
        fs::hard_link(disk.join("kept"), disk.join("link")).unwrap();
        write(&disk.join("gone"), b"");
        fs::remove_file(disk.join("gone")).unwrap();
        assert_eq!(fs::read(disk.join("link")).unwrap(), b"0123");
        fs::create_dir(disk.join("directory")).unwrap();
        assert!(fs::rename(disk.join("kept"), disk.join("directory/kept")).is_err());
        let entries = fs::read_dir(disk).unwrap();
        let names: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["directory", "kept", "link"].map(Into::into).into());
    });
}
