//! The parts of an ELF executable in which Go keeps its types (elf(5)).

use anyhow::{Context, Result, ensure};

/// Sections of an executable, and what lies at an address.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// Read-only data: the types, their names and tags.
    rodata: &'a [u8],
    /// Address of the first byte of `rodata`.
    pub(crate) base: u64,
    /// Offsets in `rodata` of types, four bytes each.
    pub(crate) typelinks: &'a [u8],
}

/// One line of the section table.
struct Section {
    name: usize,
    address: u64,
    offset: usize,
    size: usize,
}

impl<'a> Image<'a> {
    /// Finds the sections of a 64-bit little-endian executable.
    pub(crate) fn parse(file: &'a [u8]) -> Result<Self> {
        ensure!(
            file.starts_with(b"\x7fELF\x02\x01"),
            "no 64-bit little-endian ELF file"
        );
        let table = to_usize(number::<8>(file, 0x28)?)?;
        let count = to_usize(number::<2>(file, 0x3c)?)?;
        let sections: Vec<Section> = (0..count)
            .map(|index| section(file, table + 64 * index))
            .collect::<Result<_>>()?;
        let names = sections
            .get(to_usize(number::<2>(file, 0x3e)?)?)
            .context("no section of names")?;
        let find = |wanted: &str| {
            let wanted = [wanted.as_bytes(), b"\0"].concat();
            let found = sections.iter().find(|section| {
                file.get(names.offset + section.name..)
                    .is_some_and(|name| name.starts_with(&wanted))
            });
            found.context("the executable is not of Go, or its layout is not known")
        };
        let content = |section: &Section| {
            file.get(section.offset..section.offset + section.size)
                .context("a section outside of the file")
        };
        let rodata = find(".rodata")?;
        Ok(Self {
            rodata: content(rodata)?,
            base: rodata.address,
            typelinks: content(find(".typelink")?)?,
        })
    }

    /// `count` bytes at an address.
    pub(crate) fn at(&self, address: u64, count: usize) -> Result<&'a [u8]> {
        let start = to_usize(
            address
                .checked_sub(self.base)
                .context("an address before the types")?,
        )?;
        self.rodata
            .get(start..start + count)
            .context("an address beyond the types")
    }

    /// The number of `WIDTH` bytes at an address.
    pub(crate) fn number<const WIDTH: usize>(&self, address: u64) -> Result<u64> {
        number::<WIDTH>(self.at(address, WIDTH)?, 0)
    }
}

fn section(file: &[u8], at: usize) -> Result<Section> {
    Ok(Section {
        name: to_usize(number::<4>(file, at)?)?,
        address: number::<8>(file, at + 16)?,
        offset: to_usize(number::<8>(file, at + 24)?)?,
        size: to_usize(number::<8>(file, at + 32)?)?,
    })
}

fn number<const WIDTH: usize>(bytes: &[u8], at: usize) -> Result<u64> {
    let bytes = bytes.get(at..at + WIDTH).context("the file ends early")?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn to_usize(number: u64) -> Result<usize> {
    usize::try_from(number).context("a number out of range")
}
