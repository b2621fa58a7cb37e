//! A certificate authority per data directory, and the server's certificate from it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::private;

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// Years. The server's certificate is made anew at every start.
const AUTHORITY_LASTS: i32 = 50;
const SERVER_LASTS: i32 = 10;

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot make or read a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, as rustls takes them.
pub struct Issued {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// The authority of `directory`, made if there is none yet.
    pub fn open(directory: &Path) -> Result<Self, CertificateError> {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        // The key is written first, so a certificate without a key does not happen.
        let (pem, key_pem) = match read(&certificate)? {
            Some(pem) => (pem, fs::read_to_string(&key).map_err(|e| failed(&key, e))?),
            None => Self::make(&certificate, &key)?,
        };
        let key = KeyPair::from_pem(&key_pem)?;
        Ok(Self {
            // Of the authority, only its name and key matter for what it signs.
            issuer: Issuer::new(Self::params()?, key),
            pem,
        })
    }

    fn make(certificate: &Path, key: &Path) -> Result<(String, String), CertificateError> {
        let pair = KeyPair::generate()?;
        let pem = Self::params()?.self_signed(&pair)?.pem();
        let key_pem = pair.serialize_pem();
        private::write(key, key_pem.as_bytes()).map_err(|error| failed(key, error))?;
        private::write(certificate, pem.as_bytes()).map_err(|error| failed(certificate, error))?;
        Ok((pem, key_pem))
    }

    fn params() -> Result<CertificateParams, CertificateError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "cloudfaster standalone");
        set_years(&mut params, AUTHORITY_LASTS);
        Ok(params)
    }

    /// The authority's certificate as PEM, which clients are to trust.
    pub fn certificate(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server that listens on `address`.
    pub fn issue(&self, address: IpAddr) -> Result<Issued, CertificateError> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), address] {
            let name = SanType::IpAddress(address);
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        params.distinguished_name.push(DnType::CommonName, "cloudfaster");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_years(&mut params, SERVER_LASTS);
        let certificate = params.signed_by(&pair, &self.issuer)?;
        Ok(Issued {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(pair.serialize_der()).into(),
        })
    }
}

/// Valid from last year, for clocks that are behind.
fn set_years(params: &mut CertificateParams, years: i32) {
    let year = i32::from(jiff::Zoned::now().year());
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + years, 1, 1);
}

fn read(path: &Path) -> Result<Option<String>, CertificateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

fn failed(path: &Path, source: io::Error) -> CertificateError {
    CertificateError::File { path: path.to_owned(), source }
}
