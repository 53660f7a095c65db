// Writes licences.txt: name, version and licence of each package that stands in vendor.min.js.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const parts = [];
for (const [path, found] of Object.entries(lock.packages)) {
  if (!path || found.dev) continue;
  const file = readdirSync(path).find(name => /^licen[cs]e/i.test(name));
  parts.push(`== ${path.replace("node_modules/", "")} ${found.version} (${found.license})\n${readFileSync(`${path}/${file}`, "utf8").trim()}\n`);
}
writeFileSync("licences.txt", parts.join("\n"));
