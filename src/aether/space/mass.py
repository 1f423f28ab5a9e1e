"""Mass of a spacecraft's parts from what they must do: wings, harness, radiators and their loops, shielding, propulsion.

Each law is a function of plain numbers; which numbers a ship has is `space.bill`.
"""

from __future__ import annotations

import math

ALUMINIUM_KG_M3 = 2700.0  # 6061 and 1100 alloys, ASM handbook
GRAVITY_M_S2 = 9.80665  # standard gravity, by which specific impulse is defined
YEAR_S = 365.25 * 86400.0  # Julian year
FIRST_MODE = 3.516  # of a cantilever beam: omega = 3.516 sqrt(EI / (m L^4)), Blevins 1979
BOOMS = 2  # at the sides of a wing's blanket, as on roll-out arrays
FLUX_AT_GRAM = 10.0**-14.37  # meteoroids of a gram and more [1/m2/s], NASA SP-8013
FLUX_SLOPE = 1.213  # and their number by mass to this power
METEOROID_G_CM3, METEOROID_KM_S = 0.5, 20.0  # mean density and speed, NASA SP-8013
PIERCED = 0.54  # K1 of aluminium in t = K1 m^0.352 rho^(1/6) v^0.875 [cm, g, g/cm3, km/s], NASA SP-8042


def boom_mass(
    length_m: float, load_kg_m: float, frequency_hz: float, modulus_pa: float, density_kg_m3: float, slenderness: float
) -> float:
    """Mass of the two thin tubes that hold a wing's blanket stiff enough for a first mode.

    I = m' L^4 (2 pi f / 3.516)^2 / (2 E) of one tube; its section A = 2 sqrt(pi I / k), from A = 2 pi r t, I = pi r^3 t and
    k = r / t; mass = 2 rho A L, so it grows as L^3 of a wing of given width.

    length_m L [m] of the cantilever; load_kg_m m' [kg/m] carried along it; frequency_hz f [Hz]; modulus_pa E [Pa] along the
    tube; density_kg_m3 rho [kg/m3]; slenderness k [1]. Returns [kg]. Valid while a boom is light beside its blanket and above
    the least gauge that can be made.

    [1] Mikulas and others 2015, NASA 20150006022, for the same scaling of blanket arrays.
    """
    omega = 2.0 * math.pi * frequency_hz / FIRST_MODE
    inertia_m4 = load_kg_m * length_m**4 * omega**2 / (BOOMS * modulus_pa)
    return BOOMS * density_kg_m3 * 2.0 * math.sqrt(math.pi * inertia_m4 / slenderness) * length_m


def harness_mass(
    power_w: float, voltage_v: float, length_m: float, loss_share: float, conductor_kg_ohm_m2: float, cover_share: float
) -> float:
    """Mass of the pair of conductors that takes a power over a distance at an allowed loss, with its insulation.

    A = 2 rho_e L I / (epsilon V), I = P / V; mass = 2 L A delta (1 + cover) = 4 delta rho_e L^2 P / (epsilon V^2) (1 + cover).

    power_w P [W]; voltage_v V [V]; length_m L [m] one way; loss_share epsilon [1] of the power; conductor_kg_ohm_m2
    delta rho_e [kg ohm/m2]: density times resistivity, 1.54e-4 of copper, 0.76e-4 of aluminium; cover_share [1]:
    insulation, shields and connectors over the conductor. Returns [kg]. Valid where the loss, not heating, sets the section.

    [1] Patel, Spacecraft Power Systems, 2005, ch. 9.
    """
    needed = 4.0 * conductor_kg_ohm_m2 * length_m**2 * power_w / (loss_share * voltage_v**2)
    return needed * (1.0 + cover_share)


def armour_thickness(
    area_m2: float, life_s: float, hit_share: float, flux_factor: float = 1.0, bumper_share: float = 1.0
) -> float:
    """Aluminium wall that meteoroids pierce no more often than is allowed through a life.

    N = F A t m^-1.213 = allowed gives the smallest mass that must be stopped; wall = b K1 m^0.352 rho^(1/6) v^0.875.

    area_m2 A [m2] exposed, both faces; life_s t [s]; hit_share N [1]: expected punctures allowed, of one circuit;
    flux_factor [1]: all that flies over meteoroids alone (orbital debris); bumper_share b [1]: wall behind a facesheet over
    a single wall. Returns [m]. Valid from 1e-6 g to 1 g and for no orbit in particular: shielding by the Earth is left out.

    [1] NASA SP-8013, Meteoroid environment model, 1969. [2] NASA SP-8042, Meteoroid damage assessment, 1970.
    """
    mass_g = (flux_factor * FLUX_AT_GRAM * area_m2 * life_s / hit_share) ** (1.0 / FLUX_SLOPE)
    single_cm = PIERCED * mass_g**0.352 * METEOROID_G_CM3 ** (1.0 / 6.0) * METEOROID_KM_S**0.875
    return bumper_share * single_cm / 100.0


def panel_mass(face_m: float, core_kg_m2: float, pitch_m: float, bore_m: float, wall_m: float) -> float:
    """Areal mass of a dry two-sided radiator panel: m = 2 rho s + core + pi (d + w) w rho / p.

    face_m s [m]: one aluminium facesheet; core_kg_m2 [kg/m2]: core, adhesive, coatings and frame; pitch_m p, bore_m d, wall_m w
    [m]: of its aluminium tubes, armour included. Returns [kg/m2] of planform. Valid for tubes apart from one another.
    """
    tubes_kg_m2 = math.pi * (bore_m + wall_m) * wall_m * ALUMINIUM_KG_M3 / pitch_m
    return 2.0 * ALUMINIUM_KG_M3 * face_m + core_kg_m2 + tubes_kg_m2


def tube_fluid(pitch_m: float, bore_m: float, density_kg_m3: float) -> float:
    """Coolant in a panel's tubes: m = rho pi d^2 / (4 p). Returns [kg/m2] of planform.

    pitch_m p, bore_m d [m]; density_kg_m3 rho [kg/m3] of the coolant.
    """
    return density_kg_m3 * math.pi * bore_m**2 / (4.0 * pitch_m)


def coolant_flow(heat_w: float, heat_j_kg_k: float, rise_k: float) -> float:
    """Flow that carries a heat: q = Q / (c dT). heat_w [W]; heat_j_kg_k c [J/kg/K]; rise_k dT [K]. Returns [kg/s]."""
    return heat_w / (heat_j_kg_k * rise_k)


def line_mass(
    flow_kg_s: float, length_m: float, density_kg_m3: float, speed_m_s: float, wall_m: float
) -> tuple[float, float]:
    """Supply and return line of a loop: (dry, fluid) mass, d = sqrt(4 q / (pi rho v)).

    dry = 2 L rho_Al pi (d + w) w; fluid = 2 L q / v.

    flow_kg_s q [kg/s]; length_m L [m] one way; density_kg_m3 rho [kg/m3] of the coolant; speed_m_s v [m/s] in the line;
    wall_m w [m]. Returns [kg], [kg]. Valid for liquid at a few metres a second; insulation is left out.
    """
    bore_m = math.sqrt(4.0 * flow_kg_s / (math.pi * density_kg_m3 * speed_m_s))
    dry_kg = 2.0 * length_m * ALUMINIUM_KG_M3 * math.pi * (bore_m + wall_m) * wall_m
    return dry_kg, 2.0 * length_m * flow_kg_s / speed_m_s


def pump_power(flow_kg_s: float, density_kg_m3: float, head_pa: float, efficiency: float) -> float:
    """Electric power of a loop's pump: P = q dp / (rho eta). Returns [W].

    flow_kg_s q [kg/s]; density_kg_m3 rho [kg/m3]; head_pa dp [Pa]; efficiency eta [1] of pump and motor.
    """
    return flow_kg_s * head_pa / (density_kg_m3 * efficiency)


def shielding_mass(thickness_m: float, inherent_m: float, area_m2: float) -> float:
    """Aluminium added around what must be shielded: m = rho A max(0, s - s0). Returns [kg].

    thickness_m s [m] asked for, aluminium equivalent; inherent_m s0 [m]: boxes, walls and neighbours are that already;
    area_m2 A [m2] enclosed.
    """
    return ALUMINIUM_KG_M3 * area_m2 * max(0.0, thickness_m - inherent_m)


def box_area(volume_m3: float) -> float:
    """Surface of a cube of a volume: A = 6 V^(2/3). volume_m3 [m3]. Returns [m2]; a flat box has more."""
    return 6.0 * volume_m3 ** (2.0 / 3.0)


def burnt_share(delta_v_m_s: float, impulse_s: float) -> float:
    """Propellant over the mass that it moves, before the burn: 1 - exp(-dv / (g Isp)).

    delta_v_m_s [m/s]; impulse_s Isp [s]. Returns [1].

    [1] Tsiolkovsky 1903.
    """
    return -math.expm1(-delta_v_m_s / (GRAVITY_M_S2 * impulse_s))


def make_up_mass(drag_n: float, life_s: float, impulse_s: float) -> float:
    """Propellant that holds an orbit against drag: m = F t / (g Isp), whatever the ship weighs.

    drag_n F [N], mean; life_s t [s]; impulse_s Isp [s]. Returns [kg].
    """
    return drag_n * life_s / (GRAVITY_M_S2 * impulse_s)
