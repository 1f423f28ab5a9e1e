"""Make `src/aether/scenario/data/grids.yaml`: carbon by country from Ember's yearly figures, prices by region.

Needs Ember's country overview by year as CSV (Ember, CC BY 4.0, https://ember-energy.org/data), which is not shipped. Run as
`python tools/grids.py ember_country_overview_yearly.csv > src/aether/scenario/data/grids.yaml`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

YEARS = 5  # of which the least and the most give a country's range
LEAST_TWH = 2.0  # demand of the smallest grid kept: a hall of 100 MW takes 0.9
LETTERS = """
AFG AF ALB AL DZA DZ AGO AO ARG AR ARM AM AUS AU AUT AT AZE AZ BHR BH BGD BD BLR BY BEL BE BEN BJ BTN BT BOL BO BIH BA BWA BW
BRA BR BRN BN BGR BG BFA BF KHM KH CMR CM CAN CA CHL CL CHN CN COL CO COD CD COG CG CRI CR CIV CI HRV HR CUB CU CYP CY CZE CZ
DNK DK DOM DO ECU EC EGY EG SLV SV EST EE ETH ET FIN FI FRA FR GAB GA GEO GE DEU DE GHA GH GRC GR GTM GT GIN GN HND HN HKG HK
HUN HU ISL IS IND IN IDN ID IRN IR IRQ IQ IRL IE ISR IL ITA IT JAM JM JPN JP JOR JO KAZ KZ KEN KE KWT KW KGZ KG LAO LA LVA LV
LBN LB LBY LY LTU LT LUX LU MAC MO MDG MG MYS MY MLI ML MLT MT MUS MU MEX MX MDA MD MNG MN MNE ME MAR MA MOZ MZ MMR MM NAM NA
NPL NP NLD NL NCL NC NZL NZ NIC NI NGA NG PRK KP MKD MK NOR NO OMN OM PAK PK PAN PA PNG PG PRY PY PER PE PHL PH POL PL PRT PT
PRI PR QAT QA ROU RO RUS RU SAU SA SEN SN SRB RS SGP SG SVK SK SVN SI ZAF ZA KOR KR ESP ES LKA LK SDN SD SWE SE CHE CH SYR SY
TWN TW TJK TJ TZA TZ THA TH TGO TG TTO TT TUN TN TUR TR TKM TM UGA UG UKR UA ARE AE GBR GB USA US URY UY UZB UZ VEN VE VNM VN
YEM YE ZMB ZM ZWE ZW PSE PS XKX XK REU RE SUR SR BHS BS MRT MR NER NE
"""  # ISO 3166-1, three and two letters in turn
CODES = dict(zip(LETTERS.split()[::2], LETTERS.split()[1::2], strict=True))
PRICES = {  # USD/kWh to large customers: low, nominal, high; approximate tariffs of 2024 to 2026
    "US": (0.05, 0.07, 0.09, "Texas 0.05 to 0.07, Virginia 0.07 to 0.09"),
    **dict.fromkeys(("SE", "NO", "FI", "DK", "IS"), (0.04, 0.05, 0.06, "Nordic countries 0.04 to 0.06")),
    "FR": (0.08, 0.095, 0.11, "France 0.08 to 0.11"),
    "DE": (0.15, 0.175, 0.20, "Germany 0.15 to 0.20"),
    "IE": (0.15, 0.175, 0.20, "Ireland 0.15 to 0.20"),
    "GB": (0.20, 0.235, 0.27, "United Kingdom 0.20 to 0.27"),
    "JP": (0.14, 0.155, 0.17, "Japan 0.14 to 0.17"),
    "SG": (0.16, 0.18, 0.20, "Singapore 0.16 to 0.20"),
    "IN": (0.08, 0.095, 0.11, "India 0.08 to 0.11"),
    **dict.fromkeys(("SA", "AE"), (0.05, 0.065, 0.08, "Gulf states 0.05 to 0.08")),
}
WORLD = (0.05, 0.10, 0.20, "no tariff read: the range of the world's large customers")


def read(path: Path) -> dict[str, list[tuple[int, float, float, str]]]:
    """(year, gCO2/kWh, demand [TWh], name) by two letters, in the order of years."""
    found: dict[str, list[tuple[int, float, float, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            code, carbon = CODES.get(row["country_code"]), row["emissions_intensity_gco2_per_kwh"]
            if code and carbon:
                line = (int(row["year"]), float(carbon), float(row["demand_twh"] or 0.0), row["country_or_region"])
                found.setdefault(code, []).append(line)
    return {code: sorted(lines) for code, lines in found.items()}


def main() -> None:
    """Write one entry per country, in the order of their letters."""
    out = sys.stdout
    out.write(
        "# Electricity by country. Carbon: Ember, yearly electricity data, CC BY 4.0, the latest year with the least and the\n"
    )
    out.write(
        "# most of the last five as range; a mean over the year and the country, of which hours and the next plant to be\n"
    )
    out.write("# switched on may be far away. Prices: approximate, for large customers. Made by tools/grids.py.\n")
    out.write("grids:\n")
    for code, lines in sorted(read(Path(sys.argv[1])).items()):
        year, carbon, demand, name = lines[-1]
        if demand < LEAST_TWH:
            continue
        recent = [c for y, c, _, _ in lines if y > year - YEARS]
        low, value, high, said = PRICES.get(code, WORLD)
        out.write(f'  "{code.lower()}":\n')  # quoted: a bare no is not Norway
        out.write(
            f'    {{title: "{name}", country: "{code}", source: "Ember, yearly electricity data, CC BY 4.0", date: "{year}", confidence: published,\n'
        )
        out.write(
            f"    carbon: {{value: {carbon:.0f} g/kWh, low: {min(recent):.0f} g/kWh, high: {max(recent):.0f} g/kWh}},\n"
        )
        out.write(
            f'    price: {{value: {value:g} USD/kWh, low: {low:g} USD/kWh, high: {high:g} USD/kWh, source: "{said}", date: "2026", confidence: estimated}}}}\n'
        )


if __name__ == "__main__":
    main()
