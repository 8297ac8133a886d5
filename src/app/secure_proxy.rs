use crate::config::SecureProxySettings;
use crate::session::SecureProxy;
use crate::tls::proxy_config;

use super::AppError;

/// What the proxy within TLS shows. Without files it shows what the gate's authority vouches for, which must be there.
pub(super) fn secure_proxy(
    settings: Option<&SecureProxySettings>,
    has_authority: bool,
) -> Result<Option<SecureProxy>, AppError> {
    let Some(settings) = settings else { return Ok(None) };
    match &settings.files {
        Some((certificate, key)) => Ok(Some(SecureProxy::of_files(proxy_config(certificate, key)?))),
        None if has_authority => Ok(Some(SecureProxy::Minted(settings.names.clone().into()))),
        None => Err(AppError::NoProxyCertificate),
    }
}

/// Reads the files again. Where something is wrong with them, what was shown before still is.
pub(super) fn read_again(settings: Option<&SecureProxySettings>, proxy: Option<&SecureProxy>) {
    let (Some((certificate, key)), Some(proxy)) = (settings.and_then(|settings| settings.files.as_ref()), proxy) else {
        return;
    };
    match proxy_config(certificate, key) {
        Ok(config) => proxy.replace(config),
        Err(why) => eprintln!("sekisho: warning: the proxy within TLS goes on showing the certificate before: {why}"),
    }
}
