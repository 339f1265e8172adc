//! TLS for `https://` probes. A probe checks whether the service at a known address responds, and trusts
//! nothing it receives, so any certificate is accepted: services under development usually have self-signed
//! ones. Kubernetes' probes do the same.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::serve::probe::limits::ProbeConnection;

/// A connection to a service, plain or encrypted.
pub enum TlsConnection {
    Plain(ProbeConnection),
    Tls(Box<StreamOwned<ClientConnection, ProbeConnection>>),
}

impl TlsConnection {
    /// Adds TLS to `stream`. The first read or write performs the handshake.
    pub fn secured(stream: ProbeConnection, host: &str) -> Option<Self> {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let client = ClientConnection::new(Arc::new(configuration()?), name).ok()?;
        Some(Self::Tls(Box::new(StreamOwned::new(client, stream))))
    }

    /// The underlying connection.
    pub fn wire(&mut self) -> &mut ProbeConnection {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => stream.get_mut(),
        }
    }
}

impl Read for TlsConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            // Many servers close without notice.
            Self::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        }
    }
}

impl Write for TlsConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn configuration() -> Option<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().ok()?;
    let verifier = Arc::new(AnyCertificate(provider));
    let mut configuration = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(configuration)
}

/// Accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
