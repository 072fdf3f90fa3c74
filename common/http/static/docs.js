// Shows /openapi.json and sends real requests to the service that served this page.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function resolve(spec, node) {
  return node && node.$ref ? node.$ref.split("/").slice(1).reduce((at, key) => at[key], spec) : node;
}

// A value of the schema: what its examples say, else the smallest thing of that type.
function example(spec, schema, depth = 0) {
  schema = resolve(spec, schema) || {};
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const choice = (schema.anyOf || schema.oneOf || [])[0];
  if (choice) return example(spec, choice, depth);
  if (depth > 6) return null;
  if (schema.type === "object") {
    const required = schema.required || [];
    return Object.fromEntries(required.map((name) => [name, example(spec, (schema.properties || {})[name], depth + 1)]));
  }
  if (schema.type === "array") return schema.items ? [example(spec, schema.items, depth + 1)] : [];
  return { string: "", integer: schema.minimum || 0, number: schema.minimum || 0, boolean: false }[schema.type] ?? null;
}

// The schema with its references written out, so that it can be read in one place.
function expanded(spec, schema, depth = 0) {
  if (Array.isArray(schema)) return schema.map((item) => expanded(spec, item, depth));
  if (!schema || typeof schema !== "object") return schema;
  if (schema.$ref) return depth > 6 ? { $ref: schema.$ref } : expanded(spec, resolve(spec, schema), depth + 1);
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, expanded(spec, value, depth)]));
}

function disclose(title, value) {
  return element("details", {}, element("summary", {}, title), element("pre", {}, JSON.stringify(value, null, 2)));
}

function input(spec, schema, attributes) {
  const shape = resolve(spec, schema);
  if (shape.enum || shape.type === "boolean") {
    const options = (shape.enum || [true, false]).map((value) => element("option", {}, String(value)));
    return element("select", attributes, element("option", { value: "" }, ""), ...options);
  }
  const hint = shape.examples ? shape.examples[0] : shape.default;
  return element("input", { ...attributes, type: shape.type === "integer" ? "number" : "text", placeholder: hint });
}

function row(form, label, control) {
  const id = `field-${row.count = (row.count || 0) + 1}`;
  control.id = id;
  form.append(element("label", { for: id }, label), control);
  return control;
}

// Adds what the body needs to the form; returns a function that yields [body, content type].
function bodyFields(spec, form, content) {
  const media = Object.keys(content);
  if (content["application/json"]) {
    const area = element("textarea", { spellcheck: "false", "aria-label": "JSON body" });
    area.value = JSON.stringify(example(spec, content["application/json"].schema), null, 2);
    row(form, "body", area);
    return () => [area.value, "application/json"];
  }
  const files = media.filter((type) => type !== "multipart/form-data");
  if (!files.length) return filesBeside(spec, form, content["multipart/form-data"].schema);
  const file = row(form, "file", element("input", { type: "file", accept: files.join(","), required: true }));
  return () => [file.files[0], file.files[0].type || files[0]];
}

// A form of one JSON field and any number of files, each a part with the file's own name.
function filesBeside(spec, form, schema) {
  const [name, shape] = Object.entries(schema.properties)[0];
  const area = element("textarea", { spellcheck: "false", "aria-label": name });
  area.value = JSON.stringify(example(spec, shape), null, 2);
  row(form, name, area);
  const files = row(form, "files, each named as in the JSON", element("input", { type: "file", multiple: true }));
  return () => {
    const body = new FormData();
    body.append(name, new Blob([area.value], { type: "application/json" }));
    for (const file of files.files) body.append(file.name, file);
    return [body, null];
  };
}

function tryIt(spec, path, method, operation) {
  const form = element("form");
  const parameters = operation.parameters.map((p) => resolve(spec, p));
  const fields = parameters.map((p) => {
    const control = input(spec, p.schema, { required: p.required === true });
    return [p, row(form, p.name, control)];
  });
  const body = operation.requestBody ? bodyFields(spec, form, operation.requestBody.content) : null;
  const output = element("div", { "aria-live": "polite" });
  form.append(element("button", {}, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await send(path, method, fields, body, output);
  });
  return element("div", {}, form, output);
}

async function send(path, method, fields, body, output) {
  const query = new URLSearchParams();
  const headers = {};
  let url = path;
  for (const [parameter, control] of fields) {
    if (control.value === "") continue;
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(control.value));
    else if (parameter.in === "query") query.set(parameter.name, control.value);
    else headers[parameter.name] = control.value;
  }
  const options = { method: method.toUpperCase(), headers };
  const [content, type] = body ? body() : [undefined, null];
  if (content !== undefined) options.body = content;
  // A form names its own, with the boundary.
  if (type) headers["content-type"] = type;
  if (query.size) url += `?${query}`;
  output.replaceChildren(element("p", { class: "muted" }, `${options.method} ${url} …`));
  try {
    output.replaceChildren(...(await shown(await fetch(url, options))));
  } catch (error) {
    output.replaceChildren(element("p", { class: "status-bad" }, `No answer: ${error.message}`));
  }
}

async function shown(response) {
  const text = await response.text();
  const json = (response.headers.get("content-type") || "").includes("json");
  const facts = ["x-request-id", "server-timing", "retry-after", "allow", "etag", "location"]
    .filter((name) => response.headers.has(name))
    .map((name) => `${name}: ${response.headers.get(name)}`);
  return [
    element("p", { class: response.ok ? "status-good" : "status-bad" }, `${response.status} ${response.statusText}`),
    element("p", { class: "muted" }, facts.join(" · ")),
    element("pre", {}, json ? JSON.stringify(JSON.parse(text), null, 2) : text),
  ];
}

function card(spec, path, method, operation) {
  const inside = element("div");
  if (operation.description) inside.append(element("p", {}, operation.description));
  inside.append(tryIt(spec, path, method, operation));
  for (const [media, content] of Object.entries(operation.requestBody ? operation.requestBody.content : {})) {
    inside.append(disclose(`Body: ${media}`, expanded(spec, content.schema)));
  }
  for (const [status, answer] of Object.entries(operation.responses)) {
    const [media, content] = Object.entries(answer.content || {})[0] || ["", { schema: {} }];
    inside.append(disclose(`${status} ${media}: ${answer.description}`, expanded(spec, content.schema)));
  }
  const head = element(
    "summary", {},
    element("span", { class: "method" }, method.toUpperCase()),
    element("code", {}, path),
    element("span", { class: "muted" }, operation.summary || ""),
  );
  return element("details", { class: "operation", id: operation.operationId }, head, inside);
}

async function main() {
  const spec = await (await fetch("/openapi.json")).json();
  document.title = spec.info.title;
  document.getElementById("title").textContent = `${spec.info.title} ${spec.info.version}`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const group = groups.get(operation.tags[0]) || [];
      groups.set(operation.tags[0], [...group, card(spec, path, method, operation)]);
    }
  }
  const sections = [...groups].map(([tag, cards]) => element("section", {}, element("h2", {}, tag), ...cards));
  document.getElementById("operations").replaceChildren(...sections);
}

main().catch((error) => {
  document.getElementById("operations").textContent = `The OpenAPI document cannot be read: ${error.message}`;
});
