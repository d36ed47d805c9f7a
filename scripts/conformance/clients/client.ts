// Scores a picture and a text and lists the queue, through the client that is generated from /openapi.json.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const key = readFileSync(process.env.NIGHTLIGHT_KEY_FILE!, "utf8").trim();
const api = createClient<paths>({ baseUrl: process.env.NIGHTLIGHT_URL!, headers: { Authorization: `Bearer ${key}` } });

function told<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const picture = readFileSync(`${process.env.NIGHTLIGHT_SAMPLES}/known.jpg`);
const scored: components["schemas"]["ScoreAnswer"] = told(
  await api.POST("/score", {
    params: { query: { item_id: "ts-1" } },
    headers: { "Content-Type": "image/jpeg" },
    // The document says that the body is binary, for which TypeScript's generator has the type string.
    body: picture as unknown as string,
    bodySerializer: (body) => body,
  }),
);
expect(scored.item_id === "ts-1" && scored.attachment.media_type === "image/jpeg", JSON.stringify(scored));

const text = told(await api.POST("/score", { body: { attachment: { text: "hello" }, context: { item_id: "ts-2" } }, headers: { "Content-Type": "application/json" } }));
expect(text.attachment.kind === "text", JSON.stringify(text));

const found = told(await api.POST("/match", { body: { media_base64: picture.toString("base64"), media_type: "image/jpeg" }, headers: { "Content-Type": "application/json" } }));
expect(found.hashes?.pdq?.hash.length === 64, JSON.stringify(found));

const queue = told(await api.GET("/review/items", { params: { query: {} } }));
expect(Array.isArray(queue.items), JSON.stringify(queue));

const refused = await api.POST("/score", { body: { attachment: {} }, headers: { "Content-Type": "application/json" } });
expect(refused.response.status === 400 && refused.error !== undefined && "error" in refused.error && refused.error.error.code === "malformed", "an error has its type");
console.log("the TypeScript client scored a picture and a text, matched, and listed the queue");
