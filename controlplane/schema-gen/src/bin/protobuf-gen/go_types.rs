//! Go's descriptions of types, as package `internal/abi` lays them out since Go 1.20.

use anyhow::{Context, Result};

use crate::image::Image;

/// Address of a type's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TypeId(u64);

/// Sorts of types that occur in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Bool,
    Int32,
    Int64,
    Byte,
    Text,
    Pointer(TypeId),
    Slice(TypeId),
    Map(TypeId, TypeId),
    Struct,
    Other(u8),
}

/// A type.
#[derive(Debug, Clone)]
pub(crate) struct GoType {
    pub(crate) id: TypeId,
    pub(crate) sort: Sort,
    /// Package and name; none for a type written out, such as `[]string`.
    pub(crate) name: Option<(String, String)>,
}

/// A field of a struct.
#[derive(Debug, Clone)]
pub(crate) struct GoField {
    pub(crate) tag: String,
    pub(crate) of: TypeId,
}

/// Size of the part that all descriptions share.
const HEAD: u64 = 48;

/// All structs with a name to which the program has pointers.
pub(crate) fn structs(image: &Image<'_>) -> Result<Vec<GoType>> {
    let mut found = Vec::new();
    for offset in image.typelinks.chunks_exact(4) {
        let offset = offset
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if let Sort::Pointer(target) = sort(image, TypeId(image.base + offset))? {
            let target = describe(image, target)?;
            if target.sort == Sort::Struct && target.name.is_some() {
                found.push(target);
            }
        }
    }
    Ok(found)
}

/// Sort and name of a type.
pub(crate) fn describe(image: &Image<'_>, id: TypeId) -> Result<GoType> {
    const NAMED: u64 = 1 << 2;
    let flags = image.number::<1>(id.0 + 20)?;
    let sort = sort(image, id)?;
    let name = if flags & NAMED == 0 {
        None
    } else {
        Some((package(image, id, flags)?, plain_name(image, id, flags)?))
    };
    Ok(GoType { id, sort, name })
}

/// The fields of a struct, in their order.
pub(crate) fn fields(image: &Image<'_>, id: TypeId) -> Result<Vec<GoField>> {
    let (first, count) = (
        image.number::<8>(id.0 + HEAD + 8)?,
        image.number::<8>(id.0 + HEAD + 16)?,
    );
    let field = |index: u64| {
        let at = first + 24 * index;
        Ok(GoField {
            tag: name(image, image.number::<8>(at)?)?.1,
            of: TypeId(image.number::<8>(at + 8)?),
        })
    };
    (0..count).map(field).collect()
}

fn sort(image: &Image<'_>, id: TypeId) -> Result<Sort> {
    let inner = |place: u64| image.number::<8>(id.0 + HEAD + 8 * place).map(TypeId);
    Ok(
        match image.at(id.0 + 23, 1)?.first().map_or(0, |kind| kind & 31) {
            1 => Sort::Bool,
            5 => Sort::Int32,
            6 => Sort::Int64,
            8 => Sort::Byte,
            21 => Sort::Map(inner(0)?, inner(1)?),
            22 => Sort::Pointer(inner(0)?),
            23 => Sort::Slice(inner(0)?),
            24 => Sort::Text,
            25 => Sort::Struct,
            other => Sort::Other(other),
        },
    )
}

/// The name without its package.
fn plain_name(image: &Image<'_>, id: TypeId, flags: u64) -> Result<String> {
    const EXTRA_STAR: u64 = 1 << 1;
    let (name, _) = name(image, image.base + image.number::<4>(id.0 + 40)?)?;
    let name = if flags & EXTRA_STAR == 0 {
        &name
    } else {
        name.trim_start_matches('*')
    };
    Ok(name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// The path of the package; empty for Go's own types.
fn package(image: &Image<'_>, id: TypeId, flags: u64) -> Result<String> {
    const UNCOMMON: u64 = 1;
    if flags & UNCOMMON == 0 {
        return Ok(String::new());
    }
    let size = match sort(image, id)? {
        Sort::Struct => HEAD + 32,
        Sort::Pointer(_) | Sort::Slice(_) => HEAD + 8,
        Sort::Map(..) | Sort::Other(_) => return Ok(String::new()),
        Sort::Bool | Sort::Int32 | Sort::Int64 | Sort::Byte | Sort::Text => HEAD,
    };
    match image.number::<4>(id.0 + size)? {
        0 => Ok(String::new()),
        offset => Ok(name(image, image.base + offset)?.0),
    }
}

/// A name and the tag behind it.
fn name(image: &Image<'_>, at: u64) -> Result<(String, String)> {
    const TAGGED: u64 = 1 << 1;
    let flags = image.number::<1>(at)?;
    let (name, after) = text(image, at + 1)?;
    let tag = if flags & TAGGED == 0 {
        String::new()
    } else {
        text(image, after)?.0
    };
    Ok((name, tag))
}

/// A text with its length before it, and the address behind it.
fn text(image: &Image<'_>, mut at: u64) -> Result<(String, u64)> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = image.number::<1>(at)?;
        at += 1;
        length |= (byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 28 {
            break;
        }
    }
    let bytes = image.at(at, usize::try_from(length)?)?;
    let text = String::from_utf8(bytes.to_vec()).context("a name that is no text")?;
    Ok((text, at + length))
}
