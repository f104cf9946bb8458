"use strict";
// Draws openapi.json. All text goes in as text: nothing of it is read as markup.
(() => {
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  const named = (spec, schema) => {
    if (!schema) return "";
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.enum) return schema.enum.map(String).join(" | ");
    if (schema.anyOf) return schema.anyOf.map((one) => named(spec, one)).join(" | ");
    if (schema.type === "array") return `${named(spec, schema.items)}[]`;
    return [].concat(schema.type ?? "any").join(" | ");
  };

  const table = (heads, rows) => {
    const element = make("table");
    const head = element.createTHead().insertRow();
    heads.forEach((text) => head.append(make("th", text)));
    const body = element.createTBody();
    rows.forEach((cells) => {
      const row = body.insertRow();
      cells.forEach((text) => { row.insertCell().textContent = text; });
    });
    return element;
  };

  const operation = (spec, path, method, one) => {
    const box = make("details");
    const summary = make("summary");
    summary.append(make("span", method.toUpperCase(), "method"), make("code", path), ` ${one.summary ?? ""}`);
    box.append(summary);
    if (one.description) box.append(make("p", one.description));
    if (one.parameters?.length) {
      box.append(table(["parameter", "in", "type", "meaning"], one.parameters.map((p) =>
        [p.name + (p.required ? " *" : ""), p.in, named(spec, p.schema), p.description ?? ""])));
    }
    const body = one.requestBody?.content?.["application/json"]?.schema;
    if (body) box.append(make("p", `Body: ${named(spec, body)}`));
    box.append(table(["status", "meaning"],
      Object.entries(one.responses).map(([status, r]) => [status, r.description ?? ""])));
    return box;
  };

  const draw = (spec) => {
    const target = document.getElementById("operations");
    target.replaceChildren();
    document.getElementById("about").append(` ${spec.info.description ?? ""}`);
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const [method, one] of Object.entries(methods)) target.append(operation(spec, path, method, one));
    }
    target.append(make("h2", "Schemas"));
    for (const [name, schema] of Object.entries(spec.components?.schemas ?? {})) {
      const box = make("details");
      box.append(make("summary", name), make("pre", JSON.stringify(schema, null, 2)));
      target.append(box);
    }
  };

  fetch("/openapi.json")
    .then((answer) => answer.json())
    .then(draw)
    .catch((error) => { document.getElementById("operations").textContent = `Could not be loaded: ${error}`; });
})();
