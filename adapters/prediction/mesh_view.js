// Draws the hand of every <canvas class="mesh">. Dragging rotates it, the wheel changes its size.
// FACES maps "right" and "left" to vertex indices; a canvas has its vertices in mm in its data,
// camera axes: x right, y down, z away from the viewer.
function prepared(canvas) {
  const mesh = JSON.parse(canvas.dataset.mesh);
  const count = mesh.vertices.length / 3;
  const centre = [0, 0, 0];
  mesh.vertices.forEach((value, i) => { centre[i % 3] += value / count; });
  const points = mesh.vertices.map((value, i) => value - centre[i % 3]);
  const radius = Math.max(...points.map(Math.abs));
  return { points, faces: FACES[mesh.hand], colour: mesh.colour, radius };
}

function rotated(points, yaw, pitch) {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const result = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const [x, y, z] = [points[i], points[i + 1], points[i + 2]];
    const depth = cy * z - sy * x;
    result[i] = cy * x + sy * z;
    result[i + 1] = cp * y - sp * depth;
    result[i + 2] = sp * y + cp * depth;
  }
  return result;
}

// One face: its corners, its depth, and its brightness; null if its back is seen.
function face(points, corners) {
  const [a, b, c] = corners.map((k) => points.subarray(3 * k, 3 * k + 3));
  const [u, v] = [[0, 1, 2].map((k) => b[k] - a[k]), [0, 1, 2].map((k) => c[k] - a[k])];
  const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  const facing = -normal[2] / (Math.hypot(...normal) || 1);
  if (facing <= 0) return null;
  return { corners: [a, b, c], depth: a[2] + b[2] + c[2], light: 0.35 + 0.65 * facing };
}

function draw(canvas, mesh, view) {
  const context = canvas.getContext("2d");
  const scale = (0.45 * view.zoom * canvas.width) / mesh.radius;
  const points = rotated(mesh.points, view.yaw, view.pitch);
  const faces = mesh.faces.map((corners) => face(points, corners)).filter(Boolean);
  faces.sort((one, other) => other.depth - one.depth); // the farthest first
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(scale, 0, 0, scale, canvas.width / 2, canvas.height / 2);
  context.lineWidth = 1 / scale;
  for (const { corners, light } of faces) {
    context.beginPath();
    for (const corner of corners) context.lineTo(corner[0], corner[1]);
    context.closePath();
    const colour = `rgb(${mesh.colour.map((value) => Math.round(light * value)).join(",")})`;
    context.fillStyle = context.strokeStyle = colour;
    context.fill();
    context.stroke(); // closes the seams between neighbours
  }
  canvas.dataset.faces = faces.length;
}

for (const canvas of document.querySelectorAll("canvas.mesh")) {
  const mesh = prepared(canvas);
  const view = { yaw: 0, pitch: 0, zoom: 1 };
  draw(canvas, mesh, view);
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons === 0) return;
    view.yaw -= event.movementX / 100;
    view.pitch += event.movementY / 100;
    draw(canvas, mesh, view);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom *= Math.exp(-event.deltaY / 1000);
    draw(canvas, mesh, view);
  });
}
