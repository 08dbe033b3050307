// The npm package `openai`, through a whole batch: node openai.cjs CLASS QUESTIONS.jsonl
// Prints the batch and the text of its two result files as one JSON object.
const fs = require("node:fs");
const { AzureOpenAI, OpenAI } = require("openai");

const OVER = new Set(["completed", "failed", "expired", "cancelled"]);

async function main([kind, path]) {
  const client =
    kind === "AzureOpenAI"
      ? new AzureOpenAI({ endpoint: process.env.OPENAI_BASE_URL.replace(/\/v1$/, ""), apiVersion: "2025-04-01-preview", apiKey: process.env.OPENAI_API_KEY, baseURL: null, maxRetries: 0 })
      : new OpenAI({ maxRetries: 0 });
  const uploaded = await client.files.create({ file: fs.createReadStream(path), purpose: "batch" });
  const file = await client.files.waitForProcessing(uploaded.id, { pollInterval: 20 });
  let batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { made: "here" },
  });
  while (!OVER.has(batch.status)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    batch = await client.batches.retrieve(batch.id);
  }
  const contents = {};
  for (const name of ["output_file_id", "error_file_id"]) {
    contents[name] = await (await client.files.content(batch[name])).text();
  }
  const listed = [];
  for await (const each of client.batches.list()) listed.push(each.id);
  console.log(JSON.stringify({ batch, contents, listed }));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
