"use strict";

// Swagger UI does not follow what the reader prefers by itself.
const dark = matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

const url = new URL("openapi.json", document.baseURI).href;

// Swagger UI sends the examples of headers along unless they are taken out by hand: one trace for all calls, and the same
// idempotency key for all purchases.
const withoutExamplesOfHeaders = (text) => {
  const api = JSON.parse(text);
  for (const parameter of Object.values(api.components?.parameters ?? {})) {
    if (parameter.in === "header") {
      delete parameter.example;
    }
  }
  return JSON.stringify(api);
};

const page = SwaggerUIBundle({
  url,
  dom_id: "#page",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // It would send the document to a server elsewhere.
  validatorUrl: null,
  responseInterceptor: (response) => {
    if (response.url === url && response.ok) {
      response.text = withoutExamplesOfHeaders(response.text);
    }
    return response;
  },
  onComplete: () => {
    document.title = page.specSelectors.info().get("title");
  },
});
