//! One request: from its path, headers and parameters to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::accept;
use crate::answer::{self, Answer};
use crate::discovery;
use crate::events;
use crate::limits::Limits;
use crate::list;
use crate::moments::Moments;
use crate::query::Query;
use crate::resource::Resource;
use crate::route::{self, Route};
use crate::select::Selection;
use crate::shape::Shape;
use crate::status::Status;
use crate::store::Store;
use crate::watch::{self, Terms};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Api {
    store: Arc<Store>,
    limits: Limits,
    watches: Arc<Semaphore>,
    moments: Arc<Moments>,
}

impl Api {
    pub(crate) fn new(store: Arc<Store>, moments: Arc<Moments>, limits: Limits) -> Self {
        Self { store, limits, watches: Arc::new(Semaphore::new(limits.watches)), moments }
    }

    /// The answer to a request, whatever it is.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.moments.ask();
        self.try_answer(request).await.unwrap_or_else(|refusal| refusal.answer())
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Answer, Status> {
        let (head, body) = request.into_parts();
        let route = route::of(head.uri.path()).ok_or_else(Status::no_path)?;
        if head.method == Method::GET {
            return self.read(&head, route);
        }
        let is_for = |resource: Resource, method: Method, verb| {
            head.method == method && resource.descriptor().verbs.contains(&verb)
        };
        match route {
            Route::Collection { resource, namespace }
                if !namespace.is_empty() && is_for(resource, Method::POST, "create") =>
            {
                accept::check_body(&head.headers)?;
                let body = self.received(body).await?;
                events::create(&self.store, resource, namespace, &body, self.limits.recorded)
            }
            Route::Object { resource, key } if is_for(resource, Method::PATCH, "patch") => {
                accept::check_patch(&head.headers)?;
                let body = self.received(body).await?;
                events::patch(&self.store, resource, &key, &body, self.limits.body_bytes)
            }
            _ => Err(Status::not_allowed()),
        }
    }

    fn read(&self, head: &Parts, route: Route<'_>) -> Result<Answer, Status> {
        let form = accept::form(&head.headers);
        let query = || Query::parse(head.uri.query().unwrap_or_default());
        let value = match route {
            Route::Health => return Ok(answer::text("ok")),
            Route::Version => discovery::version(),
            Route::Versions => discovery::versions(),
            Route::Groups => discovery::groups(),
            Route::Group(group) => discovery::group(group).ok_or_else(Status::no_path)?,
            Route::Resources(group) => discovery::resources(group),
            Route::Collection { resource, namespace } => {
                let query = query()?;
                let shape = Shape { resource, form: form?, include: query.include };
                return self.collection(shape, namespace, query);
            }
            Route::Object { resource, key } => {
                let shape = Shape { resource, form: form?, include: query()?.include };
                return list::get(&self.store, shape, &key);
            }
        };
        form.map(|_| answer::json(StatusCode::OK, &value))
    }

    fn collection(
        &self,
        shape: Shape,
        namespace: &str,
        mut query: Query,
    ) -> Result<Answer, Status> {
        if shape.resource == Resource::NewEvents {
            return Err(Status::not_allowed());
        }
        let (labels, fields) =
            (std::mem::take(&mut query.labels), std::mem::take(&mut query.fields));
        let selection = Selection::new(shape.resource, labels, fields)?;
        if !query.watch {
            let moments = Arc::clone(&self.moments);
            return list::list(&self.store, moments, shape, namespace, &selection, &query);
        }
        let permit = Arc::clone(&self.watches).try_acquire_owned();
        let permit = permit.map_err(|_| Status::too_many_watches(self.limits.watches))?;
        let Limits { watch: lasts, bookmark, idle, .. } = self.limits;
        let terms = Terms { shape, lasts, idle, bookmark, permit };
        watch::start(&self.store, namespace, selection, &query, terms)
    }

    /// The whole body of a request, if it is not too long and comes in time.
    async fn received(&self, body: Incoming) -> Result<Bytes, Status> {
        let limit = self.limits.body_bytes;
        let whole = timeout(self.limits.idle, Limited::new(body, limit).collect()).await;
        match whole.map_err(|_| Status::slow_body())? {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Status::long_body(limit)),
            Err(error) => Err(Status::bad_request(format!("the body ends early: {error}"))),
        }
    }
}
