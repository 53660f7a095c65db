// One scene of WebGL draws every surface; each panel is a copy of its picture, so that any number of panels, print and
// PNG work. Without WebGL there are contour maps.
const SIDE = 96;
const VIEW = { turn: 0.62, tilt: 0.56 }, camera = { ...VIEW };
const MIDDLE = -0.17, GAP = 99;
let SCENE = null;

const VERTEX = `attribute float level; varying float vLevel; varying vec3 vNormal, vPlace;
void main() { vLevel = level; vNormal = normal; vPlace = position; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.); }`;
// level: 0 at the floor of the scale, 1 at its top; lines: one for each decade, or tenth of a linear scale.
const FRAGMENT = `uniform vec3 tint, pale, ink, eye, key; uniform float dark, lines, first; varying float vLevel; varying vec3 vNormal, vPlace;
float contour(float v, float w) { float d = abs(fract(v - .5) - .5), f = fwidth(v); return 1. - smoothstep(f * (w - .5), f * (w + .7), d); }
void main() {
  if (vLevel > 9.) discard;
  vec3 n = normalize(vNormal), e = normalize(eye - vPlace); float back = dot(n, e) < 0. ? 1. : 0.; if (back > .5) n = -n;
  float t = smoothstep(0., 1., clamp(vLevel * 1.08, 0., 1.));
  vec3 base = mix(tint, pale, pow(t, .85));
  float d = max(dot(n, key), 0.), rim = max(dot(n, normalize(vec3(-key.y, key.x, .3))), 0.), shine = pow(max(dot(n, normalize(key + e)), 0.), 38.);
  float shade = mix(.84, 1., smoothstep(-.9, .4, vPlace.z));
  vec3 c = base * (.62 + .35 * d + .07 * rim) * shade + vec3(1.) * shine * .05;
  c = mix(c, mix(c * .80, tint, .22), back);
  float v = vLevel * lines + first, keep = 1. - smoothstep(.10, .34, fwidth(v));
  c = mix(c, mix(ink, pale, back * .6), keep * max(contour(v, 1.05) * .55, contour(2. * v, .75) * .20) * (dark > .5 ? .75 : 1.));
  gl_FragColor = vec4(c, 1.);
}`;

/** The scene, made when it is first asked for; false where the browser has no WebGL. */
function scene() {
  if (SCENE !== null) return SCENE;
  try {
    V.ColorManagement.enabled = false;
    const renderer = new V.WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
    const count = (SIDE + 1) ** 2, geometry = new V.BufferGeometry(), faces = [];
    for (let j = 0; j < SIDE; j++) for (let i = 0; i < SIDE; i++) {
      const p = j * (SIDE + 1) + i, q = p + SIDE + 1;
      faces.push(p, p + 1, q, p + 1, q + 1, q);
    }
    for (const [name, size] of [["position", 3], ["normal", 3], ["level", 1]]) geometry.setAttribute(name, new V.BufferAttribute(new Float32Array(count * size), size));
    geometry.setIndex(faces);
    const material = new V.ShaderMaterial({
      side: V.DoubleSide, vertexShader: VERTEX, fragmentShader: FRAGMENT,
      uniforms: { tint: { value: new V.Color() }, pale: { value: new V.Color() }, ink: { value: new V.Color() }, eye: { value: new V.Vector3() }, key: { value: new V.Vector3() }, dark: { value: 0 }, lines: { value: 5 }, first: { value: 0 } },
    });
    const mesh = new V.Mesh(geometry, material), world = new V.Scene();
    mesh.frustumCulled = false;
    world.add(mesh);
    SCENE = { renderer, world, camera: new V.PerspectiveCamera(17, 1.22, 0.1, 50), geometry, material, mesh, ray: new V.Raycaster() };
  } catch { SCENE = false; }
  return SCENE;
}

/** A square onto a disc, without a seam or a pole. */
const onDisc = (u, v) => [u * Math.sqrt(1 - v * v / 2), v * Math.sqrt(1 - u * u / 2)];

const MESHES = new Map(), MOST_MESHES = 36;
/** Places, normals and levels of a surface, kept for the next frame and the next move of a pointer. */
function meshOf(plane, scale) {
  const known = MESHES.get(plane);
  if (known && known.scale === scale) return known;
  if (MESHES.size >= MOST_MESHES) MESHES.delete(MESHES.keys().next().value);
  const made = makeMesh(plane, scale);
  MESHES.set(plane, made);
  return made;
}
function makeMesh(plane, scale) {
  const grid = gridOf(plane, scale.isLog), disc = isDisc(plane), e = 0.012, count = (SIDE + 1) ** 2;
  const [position, normal, level] = [3, 3, 1].map(size => new Float32Array(size * count));
  const height = (x, y) => heightOf(valueOn(plane, grid, x, y), scale);
  for (let j = 0; j <= SIDE; j++) for (let i = 0; i <= SIDE; i++) {
    const k = j * (SIDE + 1) + i, square = [2 * i / SIDE - 1, 2 * j / SIDE - 1], [x, y] = disc ? onDisc(...square) : square.map(v => SQUARE * v);
    const [u, v] = disc ? [x, y] : square, value = valueOn(plane, grid, u, v), z = heightOf(value, scale);
    if (Number.isNaN(value)) { level[k] = GAP; position.set([x, y, FLOOR], 3 * k); normal.set([0, 0, 1], 3 * k); continue; }
    level[k] = (z - FLOOR) / HEIGHT;
    position.set([x, y, z], 3 * k);
    let dx = (height(u + e, v) - height(u - e, v)) / (2 * e), dy = (height(u, v + e) - height(u, v - e)) / (2 * e);
    if (!Number.isFinite(dx + dy)) dx = dy = 0;
    const length = Math.hypot(dx, dy, 1);
    normal.set([-dx / length, -dy / length, 1 / length], 3 * k);
  }
  return { scale, position, normal, level };
}
function fillMesh(s, plane, scale) {
  const made = meshOf(plane, scale);
  if (s.filled === made) return;
  for (const name of ["position", "normal", "level"]) {
    s.geometry.attributes[name].array.set(made[name]);
    s.geometry.attributes[name].needsUpdate = true;
  }
  s.filled = made;
  s.geometry.computeBoundingSphere();
}

function aim(s, ratio) {
  const distance = 8.1, c = s.camera;
  c.aspect = ratio;
  c.up.set(0, 0, 1);
  c.position.set(distance * Math.cos(camera.tilt) * Math.cos(camera.turn), distance * Math.cos(camera.tilt) * Math.sin(camera.turn), distance * Math.sin(camera.tilt) + MIDDLE);
  c.lookAt(0, 0, MIDDLE);
  c.updateProjectionMatrix();
  c.updateMatrixWorld();
  s.material.uniforms.eye.value.copy(c.position);
  const from = camera.turn - 0.85;  // the light turns with the viewer, from the upper left
  s.material.uniforms.key.value.set(0.72 * Math.cos(from), 0.72 * Math.sin(from), 1).normalize();
}
function project(s, canvas, x, y, z) {
  const p = new V.Vector3(x, y, z).project(s.camera);
  return [(p.x + 1) / 2 * canvas.width, (1 - p.y) / 2 * canvas.height];
}
function strokePath(pen, points) {
  pen.beginPath();
  points.forEach((p, i) => i ? pen.lineTo(...p) : pen.moveTo(...p));
  pen.stroke();
}

/** Below the surface: the floor of the scale, so that depths compare between panels. */
function paintFloor(pen, s, canvas, plane, k) {
  const ring = r => Array.from({ length: 97 }, (_, i) => { const t = i / 96 * 2 * Math.PI; return project(s, canvas, r * Math.cos(t), r * Math.sin(t), FLOOR); });
  const square = r => [[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]].map(([x, y]) => project(s, canvas, r * x, r * y, FLOOR));
  pen.strokeStyle = cssColor("--ink");
  pen.lineWidth = 0.8 * k;
  for (const r of [1, 0.5]) { pen.globalAlpha = r === 1 ? 0.24 : 0.12; strokePath(pen, isDisc(plane) ? ring(r) : square(SQUARE * r)); }
  pen.globalAlpha = 1;
}
/** Beside it: the scale, upright at the left edge of the floor. */
function paintRuler(pen, s, canvas, plane, scale, k) {
  const reach = isDisc(plane) ? 1.08 : 1.2, x = reach * Math.sin(camera.turn), y = -reach * Math.cos(camera.turn);
  const places = scaleTicks(scale).map(([v, text]) => [project(s, canvas, x, y, heightOf(v, scale)), text]);
  pen.strokeStyle = pen.fillStyle = cssColor("--ink3");
  pen.lineWidth = k;
  strokePath(pen, [project(s, canvas, x, y, FLOOR), project(s, canvas, x, y, FLOOR + HEIGHT)]);
  pen.font = `${12 * k}px system-ui, sans-serif`;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const stride = Math.ceil(places.length / (canvas.clientWidth < 260 ? 4 : 7));
  places.forEach(([p, text], i) => {
    strokePath(pen, [p, [p[0] - 5 * k, p[1]]]);
    if (i % stride === 0) pen.fillText(text, Math.max(p[0] - 8 * k, pen.measureText(text).width + k), p[1]);  // never cut at the left
  });
}
/** On it: where the training went, or where the run stands. */
function paintPlace(pen, s, canvas, run, plane, scale, k) {
  const grid = gridOf(plane, scale.isLog);
  const place = (x, y) => { const [u, v] = fromPlane(plane, x, y), size = sizeOf(plane); return project(s, canvas, size * u, size * v, heightOf(valueOn(plane, grid, u, v), scale) + 0.01); };
  pen.strokeStyle = pen.fillStyle = cssColor("--ink");
  for (const path of plane.paths || []) {
    const points = [];
    for (let i = 0; i < path.points.length; i += 2) points.push(place(path.points[i], path.points[i + 1]));
    const known = points.filter(p => p.every(Number.isFinite));
    pen.lineWidth = 1.6 * k;
    strokePath(pen, known);
    for (const [i, p] of known.entries()) { pen.beginPath(); pen.arc(...p, (i === known.length - 1 ? 4 : 2) * k, 0, 2 * Math.PI); pen.fill(); }
  }
}

const STALE = new Set();  // canvases that show an older picture: those in sight are painted first, others when they come near
const FRAME = 40;  // milliseconds after which the next frame goes on
const isNear = element => { const box = element.getBoundingClientRect(); return box.bottom > -300 && box.top < innerHeight + 300; };
addEventListener("scroll", () => { if ([...STALE].some(isNear)) nextFrame(); }, { passive: true });
/** Stale panels in sight, as many as fit a frame; or all panels at once. */
function paint(all = false) {
  const s = scene(), begun = performance.now();
  if (!s) return;
  const dark = isDark(), k = Math.min(2, devicePixelRatio || 1) * 1.25, uniforms = s.material.uniforms;
  uniforms.dark.value = Number(dark);
  uniforms.pale.value.set(dark ? "#cfd6dd" : "#f4f1ea");
  uniforms.ink.value.set(dark ? "#0b0f14" : "#17202a");
  for (const canvas of all ? $$("#panels canvas") : [...STALE]) {
    if (!canvas.isConnected) { STALE.delete(canvas); continue; }
    if (!all && !isNear(canvas)) continue;
    if (!all && performance.now() - begun > FRAME) break;
    const run = RUNS[canvas.dataset.id], plane = planeOf(run), scale = heightScale(run.group), width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !plane) { STALE.delete(canvas); continue; }
    if (canvas.width !== Math.round(width * k)) { canvas.width = Math.round(width * k); canvas.height = Math.round(height * k); }
    s.renderer.setPixelRatio(1);
    s.renderer.setSize(canvas.width, canvas.height, false);
    uniforms.lines.value = scale.isLog ? scale.high - scale.low : 10;
    uniforms.first.value = scale.isLog ? scale.low : 0;
    uniforms.tint.value.set(GROUPS[run.group].shade[Number(dark)]);
    fillMesh(s, plane, scale);
    aim(s, width / height);
    s.renderer.render(s.world, s.camera);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    paintFloor(pen, s, canvas, plane, k);
    pen.drawImage(s.renderer.domElement, 0, 0);
    paintRuler(pen, s, canvas, plane, scale, k);
    paintPlace(pen, s, canvas, run, plane, scale, k);
    STALE.delete(canvas);
  }
  if (!all && [...STALE].some(isNear)) nextFrame();
}
let isDue = false;
function nextFrame() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; paint(); });
}
/** All panels, the one in hand first: where a frame does not hold all, it follows the hand. */
function repaint(first = null) {
  if (first) {
    const others = [...STALE];
    STALE.clear();
    for (const canvas of [first, ...others]) STALE.add(canvas);
  }
  for (const canvas of $$("#panels canvas")) STALE.add(canvas);
  nextFrame();
}
