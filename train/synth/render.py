"""Renderer: one person before a background, by OpenGL on EGL; no screen is needed.

Vertices are skinned by the graphics library, in software where there is no GPU. A context belongs
to the thread that made it; several renderers can take turns in one.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import RuntimeUnavailable
from train.synth.avatar import Avatar, Part
from train.synth.rotations import Floats
from train.synth.scene import Scene

_MAX_BONES = 96
_KEPT = 32
"""People who can take turns without being sent to the graphics library anew."""
_VERTEX = """
#version 330
uniform mat4 bones[96]; uniform mat4 camera;
uniform float bulk; uniform float hair; uniform vec4 crown;
in vec3 position; in vec3 normal; in vec2 uv; in vec4 joints; in vec4 weights; in vec3 paint;
out vec3 n; out vec2 st; out vec3 place; out vec3 painted;
void main() {
  mat4 m = bones[int(joints.x)] * weights.x + bones[int(joints.y)] * weights.y
         + bones[int(joints.z)] * weights.z + bones[int(joints.w)] * weights.w;
  // Thicker all over, or above the eyes alone, where the hair is.
  float out_cm = bulk + hair * smoothstep(0.0, 6.0, dot(crown, vec4(position, 1.0)));
  vec4 p = m * vec4(position + normal * out_cm, 1.0);
  n = mat3(m) * normal; st = uv; place = p.xyz; painted = paint;
  gl_Position = camera * p;
}
"""
_FRAGMENT = """
#version 330
uniform sampler2D picture; uniform vec3 key; uniform vec3 key_colour; uniform vec3 fill;
uniform vec3 fill_colour; uniform vec3 sky; uniform vec3 ground; uniform vec3 eye;
uniform vec3 pattern; uniform mat3 tint; uniform vec3 bare;
uniform float is_skin; uniform float gloss;
in vec3 n; in vec2 st; in vec3 place; in vec3 painted; out vec4 colour;
void main() {
  vec4 texel = texture(picture, st);
  if (texel.a < 0.4) discard;
  vec3 u = normalize(n); vec3 view = normalize(eye - place);
  if (!gl_FrontFacing) u = -u;
  vec3 light = mix(ground, sky, 0.5 + 0.5 * u.y)
             + key_colour * max((dot(u, key) + 0.15) / 1.15, 0.0)
             + fill_colour * max(dot(u, fill), 0.0);
  // Bare arms share a picture with the clothes: what is coloured like skin keeps its colour.
  float skin = smoothstep(0.03, 0.10, texel.r - texel.g) * smoothstep(0.01, 0.06, texel.g - texel.b)
             * smoothstep(0.16, 0.06, abs(texel.r - 1.45 * texel.g));
  // In a head's picture all but hair and eyes is skin.
  skin = mix(skin, smoothstep(0.03, 0.10, texel.r - texel.b), is_skin);
  float stripe = 1.0 + pattern.z * sign(sin(dot(st, pattern.xy)));
  vec3 dyed = mix(tint * texel.rgb * stripe, texel.rgb * bare, skin);
  float shine = pow(max(dot(u, normalize(key + view)), 0.0), 24.0) * gloss;
  colour = vec4(clamp(dyed * painted, 0.0, 1.0) * light + key_colour * shine, 1.0);
}
"""
_BACK_VERTEX = """
#version 330
in vec2 corner; out vec2 st;
void main() { st = corner * 0.5 + 0.5; gl_Position = vec4(corner, 0.9999, 1.0); }
"""
_BACK_FRAGMENT = """
#version 330
uniform sampler2D picture; in vec2 st; out vec4 colour;
void main() { colour = vec4(texture(picture, vec2(st.x, 1.0 - st.y)).rgb, 1.0); }
"""


@dataclass(eq=False)
class _Drawable:
    part: Part
    positions: moderngl.Buffer
    vertices: moderngl.VertexArray
    texture: moderngl.Texture
    """Of everybody who is made from the same avatar."""
    fixed: tuple[moderngl.Buffer, ...]

    def release(self) -> None:
        self.vertices.release()
        for buffer in (self.positions, *self.fixed):
            buffer.release()


class Renderer(Closing):
    """Pictures of one size.

    Raises:
        RuntimeUnavailable: there is no EGL to draw with; says what to install.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._height, self._width = size
        try:
            self._context = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        except Exception as error:  # moderngl raises bare Exceptions
            raise RuntimeUnavailable(
                f"rendering needs OpenGL through EGL, which did not open ({error}): on Debian "
                "`apt-get install libegl1 libgl1-mesa-dri`"
            ) from None
        context, wh = self._context, (self._width, self._height)
        self._many = context.framebuffer(
            [context.renderbuffer(wh, 4, samples=4)], context.depth_renderbuffer(wh, samples=4)
        )
        self._one = context.simple_framebuffer(wh, 4)
        self._program = context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._back = context.program(vertex_shader=_BACK_VERTEX, fragment_shader=_BACK_FRAGMENT)
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32)
        self._corners = context.vertex_array(
            self._back, [(context.buffer(corners.tobytes()), "2f", "corner")]
        )
        self._avatar: Avatar | None = None
        self._uploaded: OrderedDict[Avatar, list[_Drawable]] = OrderedDict()
        self._textures: dict[tuple[str, str], moderngl.Texture] = {}
        self._parts: list[_Drawable] = []
        self._morphs: tuple[int, ...] = ()

    def close(self) -> None:
        """Give the graphics context back; a second call does nothing."""
        self._context.release()

    def show(self, avatar: Avatar) -> None:
        """Put this person before the camera from now on."""
        if avatar is self._avatar:
            return
        with self._context:
            self._bend(np.zeros(1, np.float32))  # whoever stood there keeps a straight face
            if avatar not in self._uploaded:
                self._uploaded[avatar] = [self._upload(avatar, part) for part in avatar.parts]
            self._uploaded.move_to_end(avatar)
            if len(self._uploaded) > _KEPT:
                self._forget(self._uploaded.popitem(last=False)[1])
        self._avatar, self._morphs = avatar, ()
        self._parts = self._uploaded[avatar]

    def draw(
        self, bones: Floats, morphs: Floats, scene: Scene, background: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """One picture.

        Args:
            bones: float32 [B, 4, 4] skin matrices (see `body.skin_matrices`).
            morphs: float32 [K] weights of the blend shapes.
            scene: camera, light and clothes.
            background: uint8 [H, W, 3] RGB, any size.

        Returns:
            uint8 [H, W, 3] RGB.
        """
        assert self._avatar is not None, "show() comes first"
        with self._context:
            return self._drawn(bones, morphs, scene, background)

    def _drawn(
        self, bones: Floats, morphs: Floats, scene: Scene, background: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        self._bend(morphs)
        context = self._context
        self._many.use()
        context.disable(moderngl.DEPTH_TEST)
        backdrop = context.texture(background.shape[1::-1], 3, background.tobytes(), alignment=1)
        backdrop.use(0)
        self._many.clear(0.0, 0.0, 0.0, 1.0)
        self._corners.render(moderngl.TRIANGLE_STRIP)
        context.enable(moderngl.DEPTH_TEST)
        self._set_uniforms(bones, scene)
        self._write("bare", scene.skin)
        self._write("crown", scene.crown)
        for drawable in self._parts:
            drawable.texture.use(0)
            kind = drawable.part.material.rsplit("_", 1)[1]
            is_body = kind == "body"
            self._write("tint", (scene.clothes if is_body else scene.head).T)
            self._write("pattern", scene.pattern if is_body else np.zeros(3))
            self._program["bulk"] = scene.bulk_cm if is_body else 0.0
            self._program["hair"] = 0.0 if is_body else scene.hair_cm
            self._program["is_skin"] = float(kind in ("head", "skin"))
            self._program["gloss"] = 0.12 if kind == "head" else 0.04
            drawable.vertices.render()
        backdrop.release()
        context.copy_framebuffer(self._one, self._many)
        image = np.frombuffer(self._one.read(components=3, alignment=1), np.uint8)
        return np.ascontiguousarray(image.reshape(self._height, self._width, 3)[::-1])

    def _upload(self, avatar: Avatar, part: Part) -> _Drawable:
        context = self._context
        joints = part.joints.astype(np.float32)
        columns = [part.normals, part.uv, joints, part.weights, part.paint]
        fixed = context.buffer(np.concatenate(columns, axis=1).tobytes())
        positions = context.buffer(part.positions.tobytes())
        triangles = context.buffer(part.triangles.tobytes())
        vertices = context.vertex_array(
            self._program,
            [
                (positions, "3f", "position"),
                (fixed, "3f 2f 4f 4f 3f", "normal", "uv", "joints", "weights", "paint"),
            ],
            triangles,
        )
        texture = self._texture(avatar, part.material)
        return _Drawable(part, positions, vertices, texture, (fixed, triangles))

    def _forget(self, parts: list[_Drawable]) -> None:
        for drawable in parts:
            drawable.release()
        shown = {id(d.texture) for others in self._uploaded.values() for d in others}
        for key in [k for k, texture in self._textures.items() if id(texture) not in shown]:
            self._textures.pop(key).release()

    def _texture(self, avatar: Avatar, material: str) -> moderngl.Texture:
        key = (avatar.name, material)
        if key not in self._textures:
            picture = avatar.textures[material]
            texture = self._context.texture(picture.shape[1::-1], 4, picture.tobytes())
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
            self._textures[key] = texture
        return self._textures[key]

    def _bend(self, morphs: Floats) -> None:
        """Blend shapes are added to the positions; only what has weight, only when it changes."""
        active = tuple(int(k) for k in np.flatnonzero(abs(morphs) > 1e-3))
        if not active and not self._morphs:
            return
        self._morphs = active
        for drawable in self._parts:
            part = drawable.part
            if active and len(part.morphs) and not part.material.endswith("_body"):
                moved = np.tensordot(morphs[list(active)], part.morphs[list(active)], 1)
                drawable.positions.write((part.positions + moved).astype(np.float32).tobytes())
            elif not active:
                drawable.positions.write(part.positions.tobytes())

    def _set_uniforms(self, bones: Floats, scene: Scene) -> None:
        padded = np.zeros((_MAX_BONES, 4, 4), np.float32)
        padded[: len(bones)] = bones
        self._write("bones", padded.swapaxes(1, 2))
        self._write("camera", scene.camera.matrix(self._width / self._height).T)
        self._write("eye", scene.camera.eye)
        for name, value in scene.lights().items():
            self._write(name, value)

    def _write(self, name: str, value: Any) -> None:
        uniform = self._program[name]
        assert isinstance(uniform, moderngl.Uniform)
        uniform.write(np.ascontiguousarray(value, np.float32).tobytes())
