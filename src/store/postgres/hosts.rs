//! One configuration for each host of a connection string.
//!
//! tokio-postgres tries the hosts in turn by itself, but bounds only the TCP connection to each: a primary that hangs
//! accepts it and says nothing more, and its standby would never be tried.

use tokio_postgres::Config;

use super::config::ConfigError;

/// Splits a configuration. A single port is that of every host.
pub fn split(config: &Config) -> Result<Vec<Config>, ConfigError> {
    let (names, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let count = names.len().max(addresses.len());
    for (given, what) in [(names.len(), "hosts"), (addresses.len(), "addresses")] {
        if given != 0 && given != count {
            return Err(ConfigError::Invalid(format!(
                "{given} {what} for {count} servers"
            )));
        }
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(ConfigError::Invalid(format!(
            "{} ports for {count} hosts",
            ports.len()
        )));
    }
    let one = |at: usize| {
        let mut one = without_hosts(config);
        match names.get(at) {
            Some(tokio_postgres::config::Host::Tcp(name)) => {
                one.host(name);
            }
            #[cfg(unix)]
            Some(tokio_postgres::config::Host::Unix(path)) => {
                one.host_path(path);
            }
            None => {}
        }
        if let Some(address) = addresses.get(at) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(at).or(ports.first()) {
            one.port(*port);
        }
        one
    };
    Ok((0..count).map(one).collect())
}

fn without_hosts(from: &Config) -> Config {
    let mut to = Config::new();
    if let Some(user) = from.get_user() {
        to.user(user);
    }
    if let Some(password) = from.get_password() {
        to.password(password);
    }
    if let Some(database) = from.get_dbname() {
        to.dbname(database);
    }
    if let Some(options) = from.get_options() {
        to.options(options);
    }
    if let Some(name) = from.get_application_name() {
        to.application_name(name);
    }
    if let Some(timeout) = from.get_connect_timeout() {
        to.connect_timeout(*timeout);
    }
    if let Some(timeout) = from.get_tcp_user_timeout() {
        to.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = from.get_keepalives_interval() {
        to.keepalives_interval(interval);
    }
    if let Some(retries) = from.get_keepalives_retries() {
        to.keepalives_retries(retries);
    }
    to.keepalives(from.get_keepalives())
        .keepalives_idle(from.get_keepalives_idle())
        .ssl_mode(from.get_ssl_mode())
        .ssl_negotiation(from.get_ssl_negotiation())
        .target_session_attrs(from.get_target_session_attrs())
        .channel_binding(from.get_channel_binding());
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_keeps_all_options_and_its_own_port() {
        let text = "host=a,b port=1,2 user=u password=p dbname=d options=-cx=y connect_timeout=7 keepalives_idle=8 \
                    keepalives_interval=9 keepalives_retries=4 tcp_user_timeout=6 application_name=n \
                    sslmode=require target_session_attrs=read-write channel_binding=require";
        let split = split(&text.parse().unwrap()).unwrap();
        let expected = [("a", "1"), ("b", "2")].map(|(host, port)| {
            let one = text.replace("host=a,b", &format!("host={host}"));
            one.replace("port=1,2", &format!("port={port}"))
                .parse::<Config>()
                .unwrap()
        });
        assert_eq!(split, expected);
    }

    #[test]
    fn one_port_is_that_of_every_host_and_other_numbers_are_refused() {
        let split_text = |text: &str| split(&text.parse().unwrap());
        let ports = |text| {
            split_text(text)
                .unwrap()
                .iter()
                .map(|one| one.get_ports().to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(ports("host=a,b port=3"), [[3], [3]]);
        assert_eq!(ports("host=a,b"), [[], []] as [[u16; 0]; 2]);
        assert!(split_text("host=a,b,c port=1,2").is_err());
    }
}
