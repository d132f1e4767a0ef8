//! The `nf_tables` protocol, as far as it is needed to list chains, sets and elements of one
//! table.
//!
//! Constants from `include/uapi/linux/netfilter/nf_tables.h`, Linux 6.1.

use super::decode;
use super::decode::{Attributes, Malformed, Message};
use super::encode::Batch;
use super::encode::Content;
use super::numbers::DUMP;
use super::socket::{Family, NetlinkError, list};

/// `NFNL_SUBSYS_NFTABLES << 8` (include/uapi/linux/netfilter/nfnetlink.h).
const SUBSYSTEM: u16 = 0xa00;
/// `NFT_MSG_GETCHAIN`
const GET_CHAINS: u16 = SUBSYSTEM | 0x4;
/// `NFT_MSG_GETSET`
const GET_SETS: u16 = SUBSYSTEM | 0xa;
/// `NFT_MSG_GETSETELEM`
const GET_ELEMENTS: u16 = SUBSYSTEM | 0xd;
/// `NFPROTO_IPV4` (include/uapi/linux/netfilter.h)
pub const IPV4: u8 = 2;
/// `NFPROTO_IPV6`
pub const IPV6: u8 = 10;
/// `sizeof(struct nfgenmsg)`
const FIXED_BYTES: usize = 4;

/// `NFTA_CHAIN_TABLE`, `NFTA_SET_TABLE` and `NFTA_SET_ELEM_LIST_TABLE`
const TABLE: u16 = 1;
/// `NFTA_CHAIN_NAME`
const CHAIN_NAME: u16 = 3;
/// `NFTA_SET_NAME` and `NFTA_SET_ELEM_LIST_SET`
const SET_NAME: u16 = 2;
/// `NFTA_SET_ELEM_LIST_ELEMENTS`
const ELEMENTS: u16 = 3;
/// `NFTA_LIST_ELEM`
const LIST_ELEMENT: u16 = 1;
/// `NFTA_SET_ELEM_KEY`
const KEY: u16 = 1;
/// `NFTA_SET_ELEM_DATA`
const DATA: u16 = 2;
/// `NFTA_DATA_VALUE`
const VALUE: u16 = 1;
/// `NFTA_DATA_VERDICT`
const VERDICT: u16 = 2;
/// `NFTA_VERDICT_CODE`
const VERDICT_CODE: u16 = 1;
/// `NF_DROP` (include/uapi/linux/netfilter.h), in network order
const NF_DROP: [u8; 4] = [0; 4];
/// `NFTA_VERDICT_CHAIN`
const VERDICT_CHAIN: u16 = 2;

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key's bytes, as the kernel keeps them.
    pub key: Vec<u8>,
    /// Where a map's element leads.
    pub verdict: Option<Verdict>,
}

/// Where an element of a verdict map leads, of those verdicts that are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `drop`
    Drop,
    /// `goto` a chain.
    Goto(String),
}

/// The names of the chains of a table of a family ([`IPV4`] or [`IPV6`]).
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn chains(family: u8, table: &str) -> Result<Vec<String>, NetlinkError> {
    names(GET_CHAINS, family, table, CHAIN_NAME)
}

/// The names of a table's sets and maps, anonymous ones too.
///
/// # Errors
/// As for [`chains`].
pub fn sets(family: u8, table: &str) -> Result<Vec<String>, NetlinkError> {
    names(GET_SETS, family, table, SET_NAME)
}

fn names(command: u16, family: u8, table: &str, name: u16) -> Result<Vec<String>, NetlinkError> {
    // Asked for the table, though the kernel lists the chains of all (`nf_tables_dump_chains`,
    // net/netfilter/nf_tables_api.c, Linux 6.1).
    let request = Batch::single(command, DUMP, |content| head(content, family, table));
    or_empty(list(Family::Netfilter, &request, |message| {
        let (head, attributes) = message.fixed::<FIXED_BYTES>()?;
        if head[0] != family || text(&attributes, TABLE)? != Some(table) {
            return Ok(None);
        }
        let name = text(&attributes, name)?.ok_or(Malformed("an object has no name"))?;
        Ok(Some(name.to_owned()))
    }))
}

/// The elements of a set or map; none if it does not exist.
///
/// # Errors
/// As for [`chains`].
pub fn elements(family: u8, table: &str, set: &str) -> Result<Vec<Element>, NetlinkError> {
    let request = Batch::single(GET_ELEMENTS, DUMP, |content| {
        head(content, family, table);
        content.text(SET_NAME, set);
    });
    or_empty(list(Family::Netfilter, &request, read))
}

fn head(content: &mut Content<'_>, family: u8, table: &str) {
    // struct nfgenmsg: family, version 0, resource id 0.
    content.fixed([family, 0, 0, 0]);
    content.text(TABLE, table);
}

/// What does not exist has no content.
fn or_empty<T>(answer: Result<Vec<T>, NetlinkError>) -> Result<Vec<T>, NetlinkError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        other => other,
    }
}

fn text<'a>(attributes: &Attributes<'a>, kind: u16) -> Result<Option<&'a str>, Malformed> {
    attributes.find(kind)?.map(decode::text).transpose()
}

fn read(message: &Message<'_>) -> Result<Vec<Element>, Malformed> {
    let (_, attributes) = message.fixed::<FIXED_BYTES>()?;
    let elements = Attributes::of(attributes.find(ELEMENTS)?.unwrap_or_default());
    let elements =
        elements.filter(|element| !matches!(element, Ok((kind, _)) if *kind != LIST_ELEMENT));
    elements.map(|element| read_element(&Attributes::of(element?.1))).collect()
}

fn read_element(element: &Attributes<'_>) -> Result<Element, Malformed> {
    let key = element.find(KEY)?.ok_or(Malformed("an element has no key"))?;
    let key = Attributes::of(key).find(VALUE)?.ok_or(Malformed("a key has no value"))?;
    let verdict = match element.find(DATA)? {
        Some(data) => Attributes::of(data).find(VERDICT)?,
        None => None,
    };
    let verdict = verdict.map(|verdict| read_verdict(&Attributes::of(verdict))).transpose()?;
    Ok(Element { key: key.to_vec(), verdict: verdict.flatten() })
}

fn read_verdict(verdict: &Attributes<'_>) -> Result<Option<Verdict>, Malformed> {
    if let Some(chain) = text(verdict, VERDICT_CHAIN)? {
        return Ok(Some(Verdict::Goto(chain.to_owned())));
    }
    let code = verdict.find(VERDICT_CODE)?;
    Ok((code == Some(&NF_DROP[..])).then_some(Verdict::Drop))
}
