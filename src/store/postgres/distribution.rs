//! The tables and functions of the schema, spread over the nodes of a Citus cluster by account.
//!
//! What belongs to an account is in shards of its node, and what changes its tags runs there as a whole, one round trip from the
//! coordinator. What changes users runs on the coordinator, where imports are: they exclude each other by advisory locks, which are
//! of one node. `untag_migration` and `replica` stay tables of the coordinator.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use super::migrations::{LOCK, MigrateError};

/// The tables that are distributed by `account_id`, with those of one account on one node. The first one stands for all.
const BY_ACCOUNT: [&str; 7] = [
    "resource",
    "deleted_user",
    "account",
    "change",
    "audit_position",
    "client_token",
    "superseded",
];

/// The tables that each node has a copy of: small, and read by what runs there.
const EVERYWHERE: [&str; 1] = ["history"];

/// The functions that run on the node of their account. Each is the only one in its statement.
const BESIDE_ACCOUNT: [&str; 4] = [
    "untag_remove_shared",
    "untag_remove_alone",
    "untag_set_tags",
    "untag_find_out",
];

/// Those tables among `$1` that are of the coordinator alone, in that order.
const LOCAL_TABLES: &str = "SELECT t.name FROM unnest($1) WITH ORDINALITY AS t (name, number) WHERE NOT EXISTS (\
    SELECT FROM pg_dist_partition p WHERE p.logicalrelid = to_regclass(t.name) AND (p.partmethod = 'h' OR p.repmodel = 't')\
    ) ORDER BY t.number";

/// The functions of the schema, but for `$1`, which the nodes do not know. Citus has told them of each when it was made, but for those with a table in
/// their signature.
const LOCAL_FUNCTIONS: &str = "SELECT p.oid::regprocedure::text FROM pg_proc p \
    WHERE p.proname LIKE 'untag\\_%' AND pg_function_is_visible(p.oid) AND NOT EXISTS (\
    SELECT FROM pg_dist_object o WHERE o.classid = 'pg_proc'::regclass AND o.objid = p.oid) \
    AND p.proname <> ALL ($1) ORDER BY 1";

/// The functions among `$1` that run where they are called.
const UNBOUND_FUNCTIONS: &str = "SELECT p.oid::regprocedure::text FROM pg_proc p \
    WHERE p.proname = ANY ($1) AND pg_function_is_visible(p.oid) AND NOT EXISTS (\
    SELECT FROM pg_dist_object o WHERE o.classid = 'pg_proc'::regclass AND o.objid = p.oid \
    AND o.distribution_argument_index IS NOT NULL) ORDER BY 1";

const HAS_EXTENSION: &str = "SELECT FROM pg_extension WHERE extname = 'citus'";

/// A step of a distribution.
struct Step {
    what: String,
    sql: String,
}

/// Distributes what is not distributed yet, with what is in it, in one transaction. Returns what that was; a dry run only says what it
/// would be.
pub async fn distribute(client: &mut Client, dry_run: bool) -> Result<Vec<String>, MigrateError> {
    if !has_extension(client).await? {
        return Err(MigrateError::NoCitus);
    }
    let transaction = client.transaction().await?;
    // One at a time, as migrations are. With a connection for each shard Citus could not go on with the next table.
    let begin = format!(
        "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK}); \
         SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
    );
    transaction.batch_execute(&begin).await?;
    let steps = [
        steps_of_tables(&transaction).await?,
        steps_of_functions(&transaction).await?,
    ];
    let mut done = Vec::new();
    for Step { what, sql } in steps.into_iter().flatten() {
        done.push(what);
        if !dry_run {
            transaction.batch_execute(&sql).await?;
        }
    }
    transaction.commit().await?;
    Ok(done)
}

/// Whether the tables of the schema are distributed.
pub async fn is_distributed(client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
    Ok(has_extension(client).await?
        && names(client, LOCAL_TABLES, &BY_ACCOUNT[..1])
            .await?
            .is_empty())
}

async fn has_extension(client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
    let found = client.query_typed_opt(HAS_EXTENSION, &[]).await?;
    Ok(found.is_some())
}

/// The names that a statement returns for these.
async fn names(
    client: &impl GenericClient,
    sql: &str,
    of: &[&str],
) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query_typed(sql, &[(&of, Type::TEXT_ARRAY)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn steps_of_tables(client: &impl GenericClient) -> Result<Vec<Step>, tokio_postgres::Error> {
    let mut steps = Vec::new();
    let first = BY_ACCOUNT[0];
    for table in names(client, LOCAL_TABLES, &BY_ACCOUNT).await? {
        // Not beside the tables of others.
        let beside = if table == first { "none" } else { first };
        steps.push(Step {
            what: format!("table {table} by account"),
            sql: format!(
                "SELECT create_distributed_table('{table}', 'account_id', colocate_with => '{beside}')"
            ),
        });
    }
    for table in names(client, LOCAL_TABLES, &EVERYWHERE).await? {
        steps.push(Step {
            what: format!("table {table} to every node"),
            sql: format!("SELECT create_reference_table('{table}')"),
        });
    }
    Ok(steps)
}

async fn steps_of_functions(
    client: &impl GenericClient,
) -> Result<Vec<Step>, tokio_postgres::Error> {
    let mut steps = Vec::new();
    let bound = names(client, UNBOUND_FUNCTIONS, &BESIDE_ACCOUNT).await?;
    for function in names(client, LOCAL_FUNCTIONS, &BESIDE_ACCOUNT).await? {
        steps.push(Step {
            what: format!("function {function} to every node"),
            sql: format!("SELECT create_distributed_function('{function}')"),
        });
    }
    for function in bound {
        steps.push(Step {
            what: format!("function {function} by account"),
            sql: format!(
                "SELECT create_distributed_function('{function}', 'for_account', colocate_with => '{}')",
                BY_ACCOUNT[0]
            ),
        });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::migrations::all_sql;

    /// The tables of the coordinator alone.
    const OF_THE_COORDINATOR: [&str; 1] = ["replica"];

    /// What stands behind each of these words, and the rest of that statement.
    fn definitions<'sql>(sql: &'sql str, words: &str) -> Vec<(&'sql str, &'sql str)> {
        let end = |rest: &str| rest.find("$$;").or_else(|| rest.find(";\n"));
        let found = sql.split(words).skip(1).map(|rest| {
            let name = rest.split(['(', ' ']).next().unwrap_or_default();
            let end = if words.contains("FUNCTION") {
                end(rest)
            } else {
                rest.find(";\n")
            };
            (name, &rest[..end.unwrap()])
        });
        found.collect()
    }

    /// Whether an UPDATE in this gives a column an element of an array, and nothing around it.
    fn sets_an_element(body: &str) -> bool {
        let sets = body.split(" SET ").skip(1).flat_map(|rest| {
            let end = [" WHERE ", "\n        WHERE ", " FROM ", ";"];
            let end = end.iter().filter_map(|word| rest.find(word)).min();
            rest[..end.unwrap_or(rest.len())].split(", ")
        });
        let mut values = sets.filter_map(|set| set.split_once(" = "));
        values.any(|(_, value)| {
            let is_of_name = |c: char| c.is_alphanumeric() || "_.".contains(c);
            let of = value.trim().trim_start_matches(is_of_name);
            of.starts_with('[') && of.ends_with(']')
        })
    }

    #[test]
    fn an_element_that_a_column_is_set_to_is_found() {
        assert!(sets_an_element(
            "UPDATE a SET b = 1, c = d.e[1]\n        WHERE f = g[2];"
        ));
        assert!(sets_an_element("UPDATE a SET b = c[1];"));
        assert!(!sets_an_element(
            "UPDATE a SET b = coalesce(c, d[1]) WHERE e = f[1];"
        ));
    }

    #[test]
    fn every_table_is_distributed_or_known_to_stay() {
        let sql = all_sql();
        let tables = definitions(&sql, "CREATE TABLE ");
        for (name, columns) in &tables {
            let of_an_account = columns.contains("account_id ");
            assert_eq!(of_an_account, BY_ACCOUNT.contains(name), "{name}");
            let known = [EVERYWHERE, OF_THE_COORDINATOR].concat();
            assert_ne!(of_an_account, known.contains(name), "{name}");
        }
        assert_eq!(tables.len(), BY_ACCOUNT.len() + 2);
    }

    #[test]
    fn functions_have_what_citus_can_carry_out() {
        let sql = all_sql();
        let functions = definitions(&sql, "CREATE FUNCTION ");
        for name in BESIDE_ACCOUNT {
            let of_account = |(found, text): &(&str, &str)| {
                *found == name
                    && text
                        .trim_start_matches(name)
                        .trim_start_matches(['(', '\n', ' '])
                        .starts_with("for_account text")
            };
            assert!(functions.iter().any(of_account), "{name}");
        }
        for (name, text) in functions {
            let (signature, body) = text.split_once("AS $$").unwrap();
            let parameters = signature.split("RETURNS").next().unwrap();
            // For Citus 13.2 that is an element which is assigned, and the server crashes.
            assert!(
                !sets_an_element(body),
                "{name} sets a column to an element of an array"
            );
            for table in BY_ACCOUNT.iter().chain(&EVERYWHERE) {
                // A row of a shard has a type of its own.
                let is_parameter = parameters.contains(&format!(" {table},"))
                    || parameters.contains(&format!(" {table})"));
                assert!(!is_parameter, "{name} takes a row of {table}");
                // Parameters are unknown where Citus plans what is in a function of this language.
                let reads = ["FROM", "JOIN", "INTO", "UPDATE"];
                let reads = reads
                    .iter()
                    .any(|word| body.contains(&format!("{word} {table} ")));
                assert!(
                    !reads || !signature.contains("LANGUAGE sql"),
                    "{name} is of SQL and uses {table}"
                );
            }
        }
    }
}
