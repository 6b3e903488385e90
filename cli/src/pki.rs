//! `weft pki`: CAs and certificates without Kubernetes.
//!
//! Must not: print a key.

use anyhow::Result;
use weft_stream::pki::{Directory, Existing, Period};

use crate::{
    arguments::{Certificate, ForController, Init, Node, Pki},
    terminal,
};

/// Makes what is asked for and says what to do with it.
pub(crate) fn run(command: Pki) -> Result<()> {
    let text = match command {
        Pki::Init(arguments) => init(&arguments)?,
        Pki::Node(arguments) => node(&arguments)?,
        Pki::Controller(arguments) => controller(&arguments)?,
    };
    Ok(terminal::write_stdout(&text)?)
}

fn init(arguments: &Init) -> Result<String> {
    let directory = Directory::init(&arguments.directory, Period::days(arguments.days))?;
    let (controllers, nodes) = (directory.controllers_ca(), directory.nodes_ca());
    Ok(format!(
        "controllers' CA: {}\nnodes' CA:       {}\n\
         Next: weft pki controller {dir}, and weft pki node {dir} NAME for each node\n",
        controllers.display(),
        nodes.display(),
        dir = arguments.directory.display(),
    ))
}

fn node(arguments: &Node) -> Result<String> {
    let name = &arguments.name;
    let (period, existing) = terms(&arguments.certificate);
    let made = Directory::open(&arguments.directory).node(name, period, existing)?;
    let files = [
        &made.files.private_key,
        &made.files.certificate,
        &made.files.ca_certificate,
    ];
    let here = files.map(|path| path.display().to_string()).join(" ");
    let there = files.map(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{ON_NODE}/{file}")
    });
    let [key, certificate, ca] = &there;
    let mut text = format!(
        "certificate for node {name}, good until {}\n\
         Copy these to {ON_NODE} on the node, the key for root's eyes alone:\n  {here}\n\
         Then run there, as root:\n  ovs-vsctl set-ssl {key} {certificate} {ca}\n",
        made.until
    );
    if arguments.certificate.renew {
        text += "Connections that are open stay open; the next ones show the new certificate.\n";
    } else {
        text += &format!(
            "  ovs-vsctl set-manager pssl:{port}        add what other managers it has: this replaces them\n\
             The controller makes the bridge listen. In the nodes file:\n  - name: {name}\n    ovsdb: ssl:HOST:{port}\n",
            port = weft_stream::OVSDB_PORT
        );
    }
    Ok(text)
}

fn controller(arguments: &ForController) -> Result<String> {
    let (period, existing) = terms(&arguments.certificate);
    let made =
        Directory::open(&arguments.directory).controller(&arguments.name, period, existing)?;
    let (key, certificate) = (
        made.files.private_key.display(),
        made.files.certificate.display(),
    );
    let nodes_ca = &made.files.ca_certificate;
    let controllers_ca = nodes_ca.with_file_name("controllers-ca.pem");
    let (nodes_ca, controllers_ca) = (nodes_ca.display(), controllers_ca.display());
    Ok(format!(
        "certificate for {}, good until {}\n\
         Nodes over ssl:\n  weft run --private-key {key} --certificate {certificate} --nodes-ca-cert {nodes_ca} …\n\
         The northbound database over pssl: and ssl:\n  weft nb -p {key} -c {certificate} -C {controllers_ca} --listen pssl:6641\n  \
         ovn-nbctl --db=ssl:HOST:6641 -p {key} -c {certificate} -C {controllers_ca} show\n",
        arguments.name, made.until
    ))
}

fn terms(certificate: &Certificate) -> (Period, Existing) {
    let existing = if certificate.renew {
        Existing::Renew
    } else {
        Existing::Refuse
    };
    (Period::days(certificate.days), existing)
}

/// Where the files are on a node; any other folder does as well.
const ON_NODE: &str = "/etc/openvswitch/weft";
