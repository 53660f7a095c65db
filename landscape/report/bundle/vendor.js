// What the page uses of other libraries, and nothing else of them.
export {
  BufferAttribute, BufferGeometry, Color, ColorManagement, DoubleSide, Mesh, PerspectiveCamera, Raycaster, Scene,
  ShaderMaterial, Vector2, Vector3, WebGLRenderer,
} from "three";
export { scaleLinear, scaleLog } from "d3-scale";
export { area, curveMonotoneX, line } from "d3-shape";
export { contours } from "d3-contour";
