//! As much of grpcurl as the README uses, so that its commands can be run where there is none. The program of the tests is
//! called for it, by a script of that name.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message as _};
use stack::terminal;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

const VARIABLE: &str = "E2E_GRPCURL";

/// Puts a program `grpcurl` into a directory.
pub fn install(directory: &Path) {
    let script = format!("#!/bin/sh\n{VARIABLE}=1 exec '{}' \"$@\"\n", env::current_exe().unwrap().display());
    let file = directory.join("grpcurl");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether this process was started by the script.
pub fn is_asked_for() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Makes the call that the command line asks for, and prints the answer.
pub async fn call() -> anyhow::Result<()> {
    let (mut ca, mut certificate, mut key, mut data) = Default::default();
    let mut words = env::args().skip(1);
    let mut target = Vec::new();
    while let Some(word) = words.next() {
        let option: &mut Option<String> = match word.as_str() {
            "-cacert" => &mut ca,
            "-cert" => &mut certificate,
            "-key" => &mut key,
            "-d" => &mut data,
            _ => {
                target.push(word);
                continue;
            }
        };
        *option = words.next();
    }
    let [address, method] = &target[..] else { bail!("an address and a method are expected, not {target:?}") };
    let read = |file: Option<String>| fs::read(PathBuf::from(file.unwrap_or_default()));
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca).context("-cacert")?));
    if certificate.is_some() {
        let identity = Identity::from_pem(read(certificate).context("-cert")?, read(key).context("-key")?);
        tls = tls.identity(identity);
    }

    let (service, name) = method.split_once('/').context("a method is package.Service/Method")?;
    let known = DescriptorPool::decode(proto::DESCRIPTORS)?;
    let service = known.get_service_by_name(service).with_context(|| format!("there is no service {service}"))?;
    let found = service.methods().find(|method| method.name() == name).context("there is no such method")?;
    let data = data.unwrap_or_default();
    let mut json = serde_json::Deserializer::from_str(&data);
    let message = DynamicMessage::deserialize(found.input(), &mut json)?;
    json.end()?;

    let channel = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?.connect().await?;
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let answer = client.unary(Request::new(message), format!("/{method}").parse()?, Dynamic(found.output())).await?;
    terminal::print(serde_json::to_string_pretty(&answer.into_inner())?);
    Ok(())
}

/// Messages that only the descriptors know.
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
