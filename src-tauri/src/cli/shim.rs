//! Stands in for the agent and the store until they are there.

pub(crate) mod store {
    use ormesh_core::model::config::{Config, InstanceId};
    use ormesh_core::model::problem::{Problem, ProblemKind};

    pub(crate) mod paths {
        use ormesh_core::model::problem::Problem;
        use std::path::PathBuf;

        pub(crate) struct Paths {
            pub config: PathBuf,
        }

        impl Paths {
            pub(crate) fn from_env() -> Result<Self, Problem> {
                Ok(Self { config: std::env::var_os("ORMESH_CONFIG").unwrap_or_default().into() })
            }
        }
    }

    pub(crate) fn load(paths: &paths::Paths) -> Result<Config, Problem> {
        let text = std::fs::read_to_string(&paths.config).unwrap_or_default();
        ormesh_core::model::config::text::parse(&text, &InstanceId::from_random([1; 10]))
            .map_err(|error| Problem::new(ProblemKind::Usage, error.to_string()).about("config"))
    }
}

pub(crate) mod agent {
    use super::store::paths::Paths;
    use ormesh_core::ipc::client::Client;
    use ormesh_core::ipc::{Request, Response};
    use ormesh_core::model::problem::{Problem, ProblemKind};

    #[derive(Default)]
    pub(crate) struct RunOptions {
        pub allow_old_tor: bool,
        pub nothing: (),
    }

    pub(crate) async fn ask(_: &Paths, _: Request) -> Result<Response, Problem> {
        Err(Problem::new(ProblemKind::Failed, "not there yet"))
    }

    pub(crate) async fn connect(_: &Paths) -> Result<Option<Client>, Problem> {
        Ok(None)
    }

    pub(crate) async fn run(_: Paths, o: RunOptions) -> Result<(), Problem> {
        let _ = (o.allow_old_tor, o.nothing);
        Err(Problem::new(ProblemKind::Failed, "not there yet"))
    }
}
